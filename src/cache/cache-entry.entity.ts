import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';

/**
 * A stored value, or the tombstone of one. Written by `PostgresEntryRepository` alone, in statements
 * that draw the version while they hold the row.
 */
@Entity({ name: 'cache_entries' })
@Check('cache_entries_key_check', 'octet_length(key) BETWEEN 1 AND 512')
@Check('cache_entries_bytes_check', 'bytes = octet_length(body)')
@Check('cache_entries_tombstone_check', 'NOT deleted OR (bytes = 0 AND expires_at IS NOT NULL)')
@Index('cache_entries_expires_at_idx', ['expiresAt'], { where: 'expires_at IS NOT NULL' })
export class CacheEntry {
  @PrimaryColumn({
    name: 'tenant_id',
    type: 'text',
    collation: 'C',
    primaryKeyConstraintName: 'cache_entries_pkey',
  })
  tenantId!: string;

  /** UTF-8. Not text, which has no place for NUL. */
  @PrimaryColumn({ name: 'key', type: 'bytea', primaryKeyConstraintName: 'cache_entries_pkey' })
  key!: Buffer;

  @Column({ name: 'body', type: 'bytea' })
  body!: Buffer;

  @Column({ name: 'bytes', type: 'bigint' })
  bytes!: string;

  @Column({ name: 'content_type', type: 'text' })
  contentType!: string;

  /** Of a tombstone: when it was made. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt!: Date | null;

  /** Rises with every write and delete of the key. */
  @Column({ name: 'version', type: 'bigint' })
  version!: string;

  @Column({ name: 'deleted', type: 'boolean', default: false })
  deleted!: boolean;

  /** Whether the latest write or delete found a live entry, for its RETURNING to tell. */
  @Column({ name: 'was_live', type: 'boolean', default: false })
  wasLive!: boolean;
}
