import type { MigrationInterface, QueryRunner } from 'typeorm';

export class CreateQuotaChanges1767225600002 implements MigrationInterface {
  readonly name = 'CreateQuotaChanges1767225600002';

  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      CREATE TABLE quota_changes (
        id bigserial CONSTRAINT quota_changes_pkey PRIMARY KEY,
        tenant_id text COLLATE "C" NOT NULL,
        actor text NOT NULL,
        action text NOT NULL
          CONSTRAINT quota_changes_action_check CHECK (action IN ('create', 'update', 'delete')),
        before jsonb,
        after jsonb,
        changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
      )`);
    await queryRunner.query(
      'CREATE INDEX quota_changes_tenant_id_id_idx ON quota_changes (tenant_id, id)',
    );
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('DROP TABLE quota_changes');
  }
}
