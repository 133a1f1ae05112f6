import type { MigrationInterface, QueryRunner } from 'typeorm';

const STATEMENTS = [
  // numeric: 2^53 bytes held for an hour are beyond a bigint.
  `CREATE TABLE quota_usage_samples (
     tenant_id text COLLATE "C" NOT NULL
       CONSTRAINT quota_usage_samples_tenant_id_check
         CHECK (tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'),
     hour timestamptz NOT NULL
       CONSTRAINT quota_usage_samples_hour_check CHECK (extract(epoch FROM hour) % 3600 = 0),
     byte_seconds numeric(39, 0) NOT NULL DEFAULT 0,
     estimated_seconds integer NOT NULL DEFAULT 0,
     peak_bytes bigint NOT NULL DEFAULT 0,
     writes bigint NOT NULL DEFAULT 0,
     refusals bigint NOT NULL DEFAULT 0,
     shadow_refusals bigint NOT NULL DEFAULT 0,
     warnings bigint NOT NULL DEFAULT 0,
     CONSTRAINT quota_usage_samples_counts_check CHECK (
       byte_seconds >= 0 AND estimated_seconds BETWEEN 0 AND 3600 AND peak_bytes >= 0
       AND writes >= 0 AND refusals >= 0 AND shadow_refusals >= 0 AND warnings >= 0),
     CONSTRAINT quota_usage_samples_pkey PRIMARY KEY (tenant_id, hour)
   )`,
  'CREATE INDEX quota_usage_samples_hour_idx ON quota_usage_samples (hour)',
  // What each tenant was last seen to hold, and when.
  `CREATE TABLE quota_usage_meters (
     tenant_id text COLLATE "C" CONSTRAINT quota_usage_meters_pkey PRIMARY KEY,
     read_at timestamptz NOT NULL,
     used_bytes bigint NOT NULL CONSTRAINT quota_usage_meters_used_check CHECK (used_bytes >= 0)
   )`,
  // The number of the last batch of counts that each process has written.
  `CREATE TABLE quota_usage_writers (
     writer uuid CONSTRAINT quota_usage_writers_pkey PRIMARY KEY,
     batch bigint NOT NULL,
     written_at timestamptz NOT NULL DEFAULT clock_timestamp()
   )`,
  'CREATE INDEX tenant_cache_metrics_metric_date_idx ON tenant_cache_metrics (metric_date)',
];

export class CreateQuotaUsageSamples1767225600030 implements MigrationInterface {
  readonly name = 'CreateQuotaUsageSamples1767225600030';

  async up(queryRunner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await queryRunner.query(statement);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('DROP INDEX tenant_cache_metrics_metric_date_idx');
    await queryRunner.query('DROP TABLE quota_usage_writers');
    await queryRunner.query('DROP TABLE quota_usage_meters');
    await queryRunner.query('DROP TABLE quota_usage_samples');
  }
}
