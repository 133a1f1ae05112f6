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

/** An entry that may go, as it was listed. */
export interface EvictableEntry {
  readonly key: string;
  readonly bytes: number;
  /** Ms since the epoch; absent: it does not expire. */
  readonly expiresAt?: number;
  /** Of the write that stored it; 0 where the storage has none. */
  readonly version: number;
  /** Rises from write to write; absent: the storage does not tell. */
  readonly written?: number;
}

/** What an eviction is looking for. */
export interface EvictionSearch {
  /** Where the page before has left off; '' for the first, and where a search begins anew. */
  readonly at: string;
  /** So many that should go first; a page of what should all go may have more or fewer. */
  readonly limit: number;
  /**
   * Bytes that are still to be freed, by what should go first; null: all entries, in any order, and the
   * pages come to an end however much is written meanwhile.
   */
  readonly freeBytes: number | null;
}

/** Some of the entries that an eviction may take, in the order in which they should go. */
export interface EvictablePage {
  readonly entries: readonly EvictableEntry[];
  /** Where these can be listed again; opaque. */
  readonly here: string;
  /** Where those after them can; null: there are no others. */
  readonly next: string | null;
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
   * Entries that may go, of those that there were when the first page was asked for.
   *
   * @throws ProblemException (400) when `at` is none of these places
   */
  abstract evictable(tenant: string, search: EvictionSearch): Promise<EvictablePage>;

  /**
   * As {@link remove}; but a value that is not as it was listed stays, and one that a write is on its
   * way to.
   */
  abstract evict(tenant: string, entry: EvictableEntry): Promise<CacheRemoval>;

  /** Removes what the tenant has stored, after its quota and usage were deleted. */
  abstract purge(tenant: string): Promise<void>;
}
