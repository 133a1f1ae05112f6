import type { MigrationInterface, QueryRunner } from 'typeorm';

export class CreateQuotaRollout1767225600020 implements MigrationInterface {
  readonly name = 'CreateQuotaRollout1767225600020';

  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      CREATE TABLE quota_rollout (
        only_row boolean DEFAULT true CONSTRAINT quota_rollout_pkey PRIMARY KEY
          CONSTRAINT quota_rollout_one_row_check CHECK (only_row),
        enabled boolean,
        log_only boolean,
        percent numeric(5, 2)
          CONSTRAINT quota_rollout_percent_check CHECK (percent BETWEEN 0 AND 100),
        tenants text[],
        version integer NOT NULL,
        actor text NOT NULL,
        changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
      )`);
    await queryRunner.query(`
      CREATE TABLE quota_rollout_changes (
        id bigserial CONSTRAINT quota_rollout_changes_pkey PRIMARY KEY,
        version integer NOT NULL,
        actor text NOT NULL,
        before jsonb NOT NULL,
        after jsonb NOT NULL,
        changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
      )`);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('DROP TABLE quota_rollout_changes');
    await queryRunner.query('DROP TABLE quota_rollout');
  }
}
