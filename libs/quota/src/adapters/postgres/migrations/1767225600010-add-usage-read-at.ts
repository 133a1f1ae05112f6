import type { MigrationInterface, QueryRunner } from 'typeorm';

export class AddUsageReadAt1767225600010 implements MigrationInterface {
  readonly name = 'AddUsageReadAt1767225600010';

  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('ALTER TABLE tenant_cache_quotas ADD COLUMN usage_read_at timestamptz');
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('ALTER TABLE tenant_cache_quotas DROP COLUMN usage_read_at');
  }
}
