import type { QuotaDecision } from './decision';
import type { QuotaLimits } from './quota';

/** What a tenant holds, in bytes, as the ledger knows it at one moment of its own clock. */
export interface Usage {
  /** Bytes of the live entries, and of charges without a key. */
  readonly committedBytes: number;
  /** Bytes held for writes on their way. */
  readonly reservedBytes: number;
  /** Bytes of entries that were stored while the tenant's quota was off; not counted in used. */
  readonly unmeteredBytes: number;
}

/** used = committed + reserved. */
export function usedBytes(usage: Usage): number {
  return usage.committedBytes + usage.reservedBytes;
}

export interface ReserveRequest {
  readonly tenant: string;
  /** Chosen by the caller, unique for each write. The same request may be sent again with it. */
  readonly id: string;
  /** Absent: a charge without a key, which is not listed among the entries (counters mode). */
  readonly key?: string;
  readonly bytes: number;
  readonly limits: QuotaLimits;
  /** {@link TenantQuota.stamp} the limits come from. */
  readonly stamp: number;
  /** False: shadow. The verdict is given, and the bytes are held whatever it is. */
  readonly enforce: boolean;
  /** After this many ms without a commit it has lapsed, and the bytes go back unless it is kept. */
  readonly holdMs: number;
  /**
   * Whoever opened it may die after storing something, and there is a storage to ask. So the bytes
   * stay held when it has lapsed, until {@link UsageTracker.letGo}. Without a key nobody can say what to
   * ask for: the bytes go back, and the tenant counts as {@link SweepReply.unsettled}.
   */
  readonly keep?: boolean;
}

export type ReserveReply =
  | {
      readonly outcome: 'reserved';
      readonly decision: QuotaDecision;
      /** Used once this write is committed as announced and nothing else happens. */
      readonly usedAfterBytes: number;
      readonly usage: Usage;
      /**
       * What this hold adds to used: the write's size less what its key could come to hold without it,
       * and never below 0. Absent where the store does not say, or the reservation is settled already.
       */
      readonly grownBytes?: number;
      /** Names this life of the tenant; a commit from an earlier life bounces. */
      readonly generation: string;
      /** Who decided, where that was not {@link UsageTracker.store}. */
      readonly source?: string;
    }
  | {
      readonly outcome: 'rejected';
      /** Who decided, where that was not {@link UsageTracker.store}. */
      readonly source?: string;
      readonly usedAfterBytes: number;
      readonly usage: Usage;
      /** Ms until enough entries will have expired for this write; absent when they never will. */
      readonly retryAfterMs?: number;
    }
  /** The caller's configuration is older than one the store knows of. Nothing was changed. */
  | { readonly outcome: 'stale'; readonly stamp: number };

/** A value kept beside the ledger, stored by the commit in the same atomic step. */
export interface StoredValue {
  readonly body: Buffer;
  /** Opaque to the ledger, at most 1,024 bytes; the owner's description of the value. */
  readonly meta: string;
}

export interface CommitRequest {
  readonly tenant: string;
  readonly id: string;
  readonly key?: string;
  /** What was really stored; may differ from what was reserved. */
  readonly bytes: number;
  readonly limits: QuotaLimits;
  readonly enforce: boolean;
  readonly generation: string;
  /** The entry's life in ms from now; absent: it does not expire. */
  readonly ttlMs?: number;
  /**
   * For storage that orders its own writes: a number that rises with every write and delete of the
   * key. A commit older than what the ledger has seen for the key frees its hold and changes
   * nothing else, so that the ledger ends as the storage did.
   */
  readonly version?: number;
  readonly value?: StoredValue;
}

export type CommitReply =
  | {
      readonly outcome: 'committed';
      readonly usage: Usage;
      /** The key had a live entry before. */
      readonly replaced: boolean;
      /** Ms since the epoch by the ledger's clock; absent: never. */
      readonly expiresAt?: number;
    }
  /** More was stored than reserved, or the hold had lapsed, and it no longer fits. Undo the write. */
  | { readonly outcome: 'refused'; readonly usage: Usage }
  /** The tenant was deleted, or the reservation released, in the meantime. Undo the write. */
  | { readonly outcome: 'bounced' };

export interface ReleaseReply {
  /** `released`: the hold went back now; `settled`: it was committed, released or lapsed before. */
  readonly outcome: 'released' | 'settled';
  readonly usage: Usage;
}

export interface RemoveRequest {
  readonly tenant: string;
  /** As in {@link ReserveRequest.id}: the same removal may be sent again with it. */
  readonly id: string;
  readonly key: string;
  /** See {@link CommitRequest.version}. */
  readonly version?: number;
}

export interface RemoveReply {
  /** A live entry was removed. */
  readonly removed: boolean;
  readonly freedBytes: number;
  readonly usage: Usage;
}

export interface RefundRequest {
  readonly tenant: string;
  readonly id: string;
  readonly bytes: number;
}

export interface RefundReply {
  readonly freedBytes: number;
  /** Bytes asked for beyond what was charged without a key: a bug of the caller, to be counted. */
  readonly underflowBytes: number;
  readonly usage: Usage;
}

export interface SweepReply {
  readonly expiredEntries: number;
  readonly expiredReservations: number;
  readonly freedBytes: number;
  /** There is more to reap. */
  readonly more: boolean;
  /** Reservations that have lapsed are still held; see {@link UsageTracker.lapsed}. */
  readonly lapsed: boolean;
  /**
   * Lives of the tenant that were ended by a drop, and not {@link UsageTracker.settled} since: a write of
   * such a life may have been stored for the next one to count. And reservations without a key that
   * were to be kept and have lapsed.
   */
  readonly unsettled: number;
}

/** A reservation that has lapsed and is held until somebody has asked the storage what became of it. */
export interface LapsedHold {
  readonly id: string;
  readonly key: string;
  readonly bytes: number;
}

export interface TenantPage {
  readonly tenants: string[];
  /** Where to go on; null at the end. A page may be empty and yet not the last. */
  readonly next: string | null;
}

/** An entry as the ledger has it. */
export interface LedgerEntry {
  readonly bytes: number;
  /** Ms since the epoch by the ledger's clock; absent: never. */
  readonly expiresAt?: number;
  /** {@link CommitRequest.version} of the write that made it; 0 when it had none. */
  readonly version: number;
  /**
   * Where a value came with it: rises from each such write of the tenant to the next, and is never
   * given twice. Absent: no value, or written before ledgers had this.
   */
  readonly written?: number;
}

/** The ledger's view of one key. */
export interface KeyView {
  readonly key: string;
  /** The live entry, or null. */
  readonly entry: LedgerEntry | null;
  /** A write of this key is on its way, for all that is known: a reservation is open and has not lapsed. */
  readonly pending: boolean;
}

/** What the storage really holds for a key; `bytes` absent: nothing. */
export interface EntryCorrection {
  readonly key: string;
  readonly bytes?: number;
  readonly expiresAt?: number;
  readonly version?: number;
  /**
   * The ledger's entry the correction was found against; absent: it had none. Applied only if still
   * so. `written` 0: it had none; absent: whatever it is.
   */
  readonly seen?: Pick<LedgerEntry, 'bytes' | 'version' | 'written'>;
}

/**
 * The port for counters and ledger. Every operation is one atomic step on one tenant, takes its time
 * from the ledger's own clock, and can be sent twice with the same id without further effect.
 * Arguments are validated by the callers in `core`, and once more at the boundary of each adapter.
 *
 * Any method may throw QuotaUnavailableError. Implementations: memory, Redis, PostgreSQL.
 */
export abstract class UsageTracker {
  /** Name for logs, metrics and `explain`: `memory`, `redis`, … */
  abstract readonly store: string;

  /**
   * Reaps what has expired, decides, and holds the bytes.
   *
   * @throws ReservationConflictError when the id was used for another key or size.
   * @throws UndecidedError when lapsed reservations hold the room.
   */
  abstract reserve(request: ReserveRequest): Promise<ReserveReply>;

  /** The verdict {@link reserve} would give, holding nothing. */
  abstract check(request: Omit<ReserveRequest, 'id' | 'holdMs'>): Promise<ReserveReply>;

  /**
   * Turns the hold into an entry of `bytes`, and gives back or takes the difference.
   *
   * @throws UndecidedError when lapsed reservations hold the room that more bytes would need.
   */
  abstract commit(request: CommitRequest): Promise<CommitReply>;

  /** Gives a hold back. Never refused. */
  abstract release(tenant: string, id: string): Promise<ReleaseReply>;

  /** Removes an entry, its value beside it, and gives its bytes back. Never refused. */
  abstract remove(request: RemoveRequest): Promise<RemoveReply>;

  /** Gives back bytes that were charged without a key. Never refused, never below zero. */
  abstract refund(request: RefundRequest): Promise<RefundReply>;

  /** Usage after reaping all that has expired. A tenant never seen has zeros, and gets no state. */
  abstract read(tenant: string): Promise<Usage>;

  /** Reaps at most `max` expired entries and as many lapsed reservations. */
  abstract sweep(tenant: string, max: number): Promise<SweepReply>;

  /**
   * The tenant's storage was looked at after a sweep that said `count` unsettled: the number falls by
   * so many, so that what has lapsed meanwhile is not forgotten, and never below zero. Returns by how
   * many it fell.
   */
  abstract settled(tenant: string, count: number): Promise<number>;

  /** Reservations that have lapsed and are held, in pages of about `limit`, as {@link entries}. */
  abstract lapsed(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ holds: LapsedHold[]; next: string | null }>;

  /**
   * The storage was asked about the keys of these lapsed reservations, and the entries are as it has
   * them: their bytes go back, and they are forgotten. Others, settled or open, are left alone. Returns
   * how many it were.
   */
  abstract letGo(tenant: string, ids: readonly string[]): Promise<number>;

  /** Ends this life of the tenant: entries, values, reservations and usage are gone, late commits bounce. */
  abstract drop(tenant: string): Promise<void>;

  /**
   * Counts the entries anew and corrects committed bytes; exact under traffic. Entries stored while
   * the quota was off are metered from here on. Returns the drift found: counted before minus true
   * sum, in bytes, signed.
   */
  abstract recount(tenant: string): Promise<{ driftBytes: number; usage: Usage }>;

  /**
   * Lists entries in pages of about `limit`, in no order, from `cursor` (null: the start). An entry
   * present all the while is listed at least once.
   */
  abstract entries(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ entries: KeyView[]; next: string | null }>;

  /** The ledger's view of these keys, in their order. */
  abstract lookup(tenant: string, keys: readonly string[]): Promise<KeyView[]>;

  /**
   * Sets entries to what the storage really holds, each only where the ledger still is as it was
   * seen and no write of the key is on its way, as {@link KeyView.pending} has it; in a ledger that is
   * being rebuilt also where one is. Returns how many were applied and their signed sum.
   */
  abstract correct(
    tenant: string,
    corrections: readonly EntryCorrection[],
  ): Promise<{ applied: number; deltaBytes: number }>;

  /**
   * An operator has seen to it that the entries are right, or takes them for right: a ledger that lost
   * its data and could not find it again goes on with what it has. Nothing to do in any other case.
   */
  async accept(_tenant: string): Promise<void> {
    return;
  }

  /**
   * Holds a reservation of `generation` once more, whatever the limit, in a ledger that may have lost
   * it; one that has it is as it was. Nothing to do where a ledger that lost its data has lost the
   * values too.
   */
  async holdAnew(_request: ReserveRequest, _generation: string): Promise<void> {
    return;
  }

  /**
   * Tenants that have state, in pages of about `limit`, in no order. A hint, never exact: one may come
   * twice, and one that began meanwhile may be missing.
   */
  abstract tenants(cursor: string | null, limit: number): Promise<TenantPage>;

  /**
   * As {@link tenants}, those only that have something to {@link sweep} now, or lapsed, or unsettled. Unless a tracker knows a
   * cheaper way it is all of them, which is right too.
   */
  due(cursor: string | null, limit: number): Promise<TenantPage> {
    return this.tenants(cursor, limit);
  }
}

/** Where usage can be recomputed from when values live outside the ledger: the application's storage. */
export abstract class UsageSource {
  /** A page of live entries after `cursor` (null: from the start), in a stable order. */
  abstract page(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ entries: SourceEntry[]; next: string | null }>;

  /** The live entries among these keys. */
  abstract lookup(tenant: string, keys: readonly string[]): Promise<SourceEntry[]>;
}

export interface SourceEntry {
  readonly key: string;
  readonly bytes: number;
  readonly expiresAt?: number;
  readonly version?: number;
}

/**
 * A tracker that can keep values beside its ledger, in one atomic step with it, so that a crash
 * cannot part the two.
 */
export abstract class ValueTracker extends UsageTracker {
  /** The live value of a key with the tenant's usage, or null. */
  abstract getValue(
    tenant: string,
    key: string,
  ): Promise<{ value: (StoredValue & { expiresAt?: number }) | null; usage: Usage }>;

  /**
   * Stores a value without checking or charging it, while the tenant's quota is off. What was charged
   * for the key goes back. The first write that is metered again, or a recount, charges all such
   * entries. `stale` as in {@link reserve}.
   */
  abstract putUnmetered(request: {
    tenant: string;
    /** As in {@link ReserveRequest.id}. */
    id: string;
    key: string;
    value: StoredValue;
    ttlMs?: number;
    stamp: number;
  }): Promise<
    | { outcome: 'stored'; replaced: boolean; expiresAt?: number; usage: Usage }
    | { outcome: 'stale'; stamp: number }
  >;
}
