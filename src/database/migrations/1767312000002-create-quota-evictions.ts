import type { MigrationInterface, QueryRunner } from 'typeorm';

export class CreateQuotaEvictions1767312000002 implements MigrationInterface {
  readonly name = 'CreateQuotaEvictions1767312000002';

  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      CREATE TABLE quota_evictions (
        id bigserial CONSTRAINT quota_evictions_pkey PRIMARY KEY,
        tenant_id text COLLATE "C" NOT NULL,
        actor text NOT NULL,
        reason text,
        target jsonb NOT NULL,
        used_before bigint NOT NULL,
        used_after bigint NOT NULL,
        entries bigint NOT NULL DEFAULT 0,
        freed_bytes bigint NOT NULL DEFAULT 0,
        done boolean NOT NULL DEFAULT false,
        began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
      )`);
    await queryRunner.query(
      'CREATE INDEX quota_evictions_tenant_id_id_idx ON quota_evictions (tenant_id, id)',
    );
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('DROP TABLE quota_evictions');
  }
}
