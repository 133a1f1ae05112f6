import type { MigrationInterface, QueryRunner } from 'typeorm';

export class CreateQuotaDecisions1767225600021 implements MigrationInterface {
  readonly name = 'CreateQuotaDecisions1767225600021';

  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      CREATE TABLE quota_decisions (
        id bigserial CONSTRAINT quota_decisions_pkey PRIMARY KEY,
        tenant_id text COLLATE "C" NOT NULL,
        decided_at timestamptz NOT NULL,
        bytes bigint NOT NULL,
        delta_bytes bigint NOT NULL,
        used_before_bytes bigint,
        quota_bytes bigint,
        hard_bytes bigint NOT NULL,
        decision text NOT NULL
          CONSTRAINT quota_decisions_decision_check CHECK (decision IN ('ALLOW', 'WARN', 'REJECT')),
        mode text NOT NULL
          CONSTRAINT quota_decisions_mode_check CHECK (mode IN ('off', 'shadow', 'enforce')),
        missed integer NOT NULL DEFAULT 0
      )`);
    await queryRunner.query(
      'CREATE INDEX quota_decisions_tenant_id_decided_at_id_idx ' +
        'ON quota_decisions (tenant_id, decided_at, id)',
    );
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('DROP TABLE quota_decisions');
  }
}
