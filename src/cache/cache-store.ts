import type { QuotaContext, Usage } from '@app/quota';

/** What a tenant wants stored. */
export interface CacheWrite {
  readonly tenant: string;
  readonly key: string;
  readonly body: Buffer;
  readonly contentType: string;
  /** The entry's life; absent: it does not expire. */
  readonly ttlSeconds?: number;
}

export interface StoredEntry {
  readonly bytes: number;
  /** The key had a live entry before. */
  readonly replaced: boolean;
  readonly expiresAt: Date | null;
}

export interface CachedValue {
  readonly body: Buffer;
  readonly contentType: string;
}

/** `usage`: where the tenant stands now, where the operation learnt it on the way. */
export interface CacheReading {
  readonly value: CachedValue | null;
  readonly usage: Usage | null;
}

export interface CacheRemoval {
  readonly removed: boolean;
  /** Bytes that the tenant's usage fell by. */
  readonly freedBytes: number;
  readonly usage: Usage | null;
}

/** An entry that may go. */
export interface EvictableEntry {
  readonly key: string;
  /** Of the write that stored it, where the storage has such. */
  readonly version?: number;
}

/** Where values are kept. Any method may throw QuotaUnavailableError (503). */
export abstract class CacheStore {
  /**
   * Stores a value and settles the write's reservation; nothing of either stays without the other.
   * Without a context the quota is off, for everyone or for this path: nothing is charged.
   *
   * @throws QuotaExceededError when the write no longer fits, WriteBouncedError when the tenant was
   * deleted meanwhile. Nothing is stored then.
   */
  abstract put(write: CacheWrite, quota: QuotaContext | undefined): Promise<StoredEntry>;

  abstract get(tenant: string, key: string): Promise<CacheReading>;

  /** Never refused. */
  abstract remove(tenant: string, key: string): Promise<CacheRemoval>;

  /**
   * Entries in the order in which they should go, `limit` at most. `complete`: there were no others.
   */
  abstract evictable(
    tenant: string,
    limit: number,
  ): Promise<{ readonly entries: EvictableEntry[]; readonly complete: boolean }>;

  /** As {@link remove}; but a value written since the entry was listed stays, where that can be told. */
  abstract evict(tenant: string, entry: EvictableEntry): Promise<CacheRemoval>;

  /** Removes what the tenant has stored, after its quota and usage were deleted. */
  abstract purge(tenant: string): Promise<void>;
}
