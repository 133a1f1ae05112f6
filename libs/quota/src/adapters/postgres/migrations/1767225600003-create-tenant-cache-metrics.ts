import type { MigrationInterface, QueryRunner } from 'typeorm';
import { forgetGenerated, rememberGenerated } from './generated-column';

export class CreateTenantCacheMetrics1767225600003 implements MigrationInterface {
  readonly name = 'CreateTenantCacheMetrics1767225600003';

  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      CREATE TABLE tenant_cache_metrics (
        id bigserial CONSTRAINT tenant_cache_metrics_pkey PRIMARY KEY,
        tenant_id text COLLATE "C" NOT NULL
          CONSTRAINT tenant_cache_metrics_tenant_id_check
            CHECK (tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'),
        metric_date date NOT NULL,
        total_requests bigint NOT NULL DEFAULT 0,
        cache_hits bigint NOT NULL DEFAULT 0,
        cache_misses bigint NOT NULL DEFAULT 0,
        total_bytes_served bigint NOT NULL DEFAULT 0,
        avg_response_time_ms double precision
          CONSTRAINT tenant_cache_metrics_response_time_check
            CHECK (avg_response_time_ms >= 0 AND avg_response_time_ms < 'Infinity'),
        hit_rate numeric(7, 6) GENERATED ALWAYS AS (
          cache_hits::numeric / NULLIF(cache_hits + cache_misses, 0)) STORED,
        CONSTRAINT tenant_cache_metrics_counts_check CHECK (
          total_requests >= 0 AND cache_hits >= 0 AND cache_misses >= 0
          AND total_bytes_served >= 0),
        CONSTRAINT tenant_cache_metrics_tenant_id_metric_date_key UNIQUE (tenant_id, metric_date)
      )`);
    await rememberGenerated(queryRunner, {
      table: 'tenant_cache_metrics',
      name: 'hit_rate',
      expression: 'cache_hits::numeric / NULLIF(cache_hits + cache_misses, 0)',
    });
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('DROP TABLE tenant_cache_metrics');
    await forgetGenerated(queryRunner, 'tenant_cache_metrics');
  }
}
