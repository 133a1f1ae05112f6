import type { MigrationInterface, QueryRunner } from 'typeorm';
import { forgetGenerated, rememberGenerated } from './generated-column';

export class CreateTenantCacheQuotas1767225600001 implements MigrationInterface {
  readonly name = 'CreateTenantCacheQuotas1767225600001';

  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      CREATE TABLE tenant_cache_quotas (
        id bigserial CONSTRAINT tenant_cache_quotas_pkey PRIMARY KEY,
        tenant_id text COLLATE "C" NOT NULL
          CONSTRAINT tenant_cache_quotas_tenant_id_key UNIQUE
          CONSTRAINT tenant_cache_quotas_tenant_id_check
            CHECK (tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'),
        quota_mb integer NOT NULL DEFAULT 100
          CONSTRAINT tenant_cache_quotas_quota_mb_check CHECK (quota_mb > 0),
        current_usage_bytes bigint NOT NULL DEFAULT 0
          CONSTRAINT tenant_cache_quotas_usage_check CHECK (current_usage_bytes >= 0),
        current_usage_mb numeric(20, 6)
          GENERATED ALWAYS AS (current_usage_bytes / 1048576.0) STORED,
        quota_reset_at timestamptz,
        overage_allowed boolean NOT NULL DEFAULT false,
        overage_limit_mb integer NOT NULL DEFAULT 10
          CONSTRAINT tenant_cache_quotas_overage_check CHECK (overage_limit_mb >= 0),
        mode text
          CONSTRAINT tenant_cache_quotas_mode_check CHECK (mode IN ('off', 'shadow', 'enforce')),
        version integer NOT NULL DEFAULT 1
          CONSTRAINT tenant_cache_quotas_version_check CHECK (version >= 1),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
      )`);
    await queryRunner.query(`
      CREATE INDEX tenant_cache_quotas_over_quota_idx ON tenant_cache_quotas (tenant_id)
      WHERE current_usage_bytes > quota_mb::bigint * 1048576`);
    await rememberGenerated(queryRunner, {
      table: 'tenant_cache_quotas',
      name: 'current_usage_mb',
      expression: 'current_usage_bytes / 1048576.0',
    });
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('DROP TABLE tenant_cache_quotas');
    await forgetGenerated(queryRunner, 'tenant_cache_quotas');
  }
}
