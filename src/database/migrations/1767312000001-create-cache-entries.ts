import type { MigrationInterface, QueryRunner } from 'typeorm';

export class CreateCacheEntries1767312000001 implements MigrationInterface {
  readonly name = 'CreateCacheEntries1767312000001';

  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('CREATE SEQUENCE cache_entries_version_seq AS bigint');
    await queryRunner.query(`
      CREATE TABLE cache_entries (
        tenant_id text COLLATE "C" NOT NULL,
        key bytea NOT NULL
          CONSTRAINT cache_entries_key_check CHECK (octet_length(key) BETWEEN 1 AND 512),
        body bytea NOT NULL,
        bytes bigint NOT NULL
          CONSTRAINT cache_entries_bytes_check CHECK (bytes = octet_length(body)),
        content_type text NOT NULL,
        expires_at timestamptz,
        version bigint NOT NULL,
        deleted boolean NOT NULL DEFAULT false
          CONSTRAINT cache_entries_tombstone_check
            CHECK (NOT deleted OR (bytes = 0 AND expires_at IS NOT NULL)),
        was_live boolean NOT NULL DEFAULT false,
        CONSTRAINT cache_entries_pkey PRIMARY KEY (tenant_id, key)
      )`);
    // Values are often compressed already, and compressing 100 MB takes seconds.
    await queryRunner.query('ALTER TABLE cache_entries ALTER COLUMN body SET STORAGE EXTERNAL');
    await queryRunner.query(`
      CREATE INDEX cache_entries_expires_at_idx ON cache_entries (expires_at)
      WHERE expires_at IS NOT NULL`);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('DROP TABLE cache_entries');
    await queryRunner.query('DROP SEQUENCE cache_entries_version_seq');
  }
}
