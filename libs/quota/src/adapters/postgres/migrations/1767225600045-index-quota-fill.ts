import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * How full each tenant is, in bytes per MB of quota: for those near their limit, and the fullest. An index
 * must not be what a row of quota 0 fails by.
 */
export class IndexQuotaFill1767225600045 implements MigrationInterface {
  readonly name = 'IndexQuotaFill1767225600045';

  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      CREATE INDEX tenant_cache_quotas_fill_idx ON tenant_cache_quotas
      ((current_usage_bytes::double precision / nullif(quota_mb, 0)))`);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('DROP INDEX tenant_cache_quotas_fill_idx');
  }
}
