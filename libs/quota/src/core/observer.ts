import type { StoreState } from './breaker';
import type { QuotaDecision } from './decision';
import type { QuotaMode } from './quota';

/** One finished decision. */
export interface CheckEvent {
  readonly tenant: string;
  readonly bytes: number;
  readonly usedBytes: number;
  readonly limitBytes: number;
  readonly decision: QuotaDecision;
  readonly mode: QuotaMode;
  readonly durationMs: number;
  /** The store that decided. */
  readonly source: string;
  /** Up to here it would have been no more than a warning. Absent: the ledger was not asked. */
  readonly quotaBytes?: number;
  /** Used before this write. Absent: the ledger was not asked. */
  readonly usedBeforeBytes?: number;
  /** What this write changes of it once it is stored; negative where it shrinks an entry. */
  readonly deltaBytes?: number;
}

/** What may be away. */
export type StoreName = 'redis' | 'postgres';

export type DegradedPolicy = 'bank' | 'allow' | 'deny';

export type CacheTier = 'memory' | 'redis' | 'postgres';

/** What the core tells of itself. Metrics and logs listen; nothing of the core depends on them. */
export interface QuotaEvents {
  check: CheckEvent;
  /** A write that was let through no longer fitted when it was committed, and was undone. */
  late: {
    readonly tenant: string;
    /** Of the commit. */
    readonly bytes: number;
    /** Used without it, when it was refused. */
    readonly usedBytes: number;
    readonly limitBytes: number;
    readonly mode: QuotaMode;
    readonly source: string;
  };
  cache: { readonly tier: CacheTier; readonly hit: boolean };
  /** Something of ours failed; the caller got a 503 or a degraded answer. */
  error: {
    readonly operation: string;
    readonly error: string;
    readonly tenant?: string;
    /** What lay behind it, without secrets. */
    readonly cause?: string;
  };
  /**
   * A decision without the ledger: `bank`, PostgreSQL took it; `allow`, the budget of this instance;
   * `deny`, there was nobody to take it, and the caller got a 503.
   */
  degraded: { readonly tenant: string; readonly bytes: number; readonly policy: DegradedPolicy };
  /** What the bank had admitted was taken into the ledger. */
  folded: { readonly tenant: string; readonly bytes: number; readonly items: number };
  /** A breaker changed: `open` and `half-open`, the store is not asked; `closed`, it is. */
  store: { readonly store: StoreName; readonly state: StoreState; readonly cause?: string };
  changed: { readonly tenant: string; readonly stamp: number; readonly actor: string };
  /** Entries of a tenant were removed since an operator asked for it. */
  evicted: {
    readonly tenant: string;
    readonly actor: string;
    readonly evicted: number;
    readonly freedBytes: number;
  };
  /** The rollout is another one in this instance from here on; `actor` null: never set at run time. */
  rollout: { readonly version: number; readonly actor: string | null; readonly mode: QuotaMode };
  /** Decisions written to the record, and decisions that are missing in it. */
  recorded: { readonly written: number; readonly dropped: number };
  reconciled: {
    readonly tenant: string;
    readonly driftBytes: number;
    readonly causes: DriftCauses;
    readonly usedBytes: number;
    /** True: it was its turn in the round of all tenants; false: somebody asked. */
    readonly routine: boolean;
  };
  /** The storage was asked about reservations that had lapsed; those that were not let go come again. */
  lapsed: { readonly tenant: string; readonly found: number; readonly letGo: number };
  /** What one round of the sweep has reaped, of all tenants; rounds that found nothing say nothing. */
  swept: {
    readonly expiredEntries: number;
    readonly expiredReservations: number;
    readonly freedBytes: number;
  };
}

/** Bytes counted minus true bytes, signed, by what was wrong. */
export interface DriftCauses {
  /** Stored, and not in the ledger: zero or less. */
  readonly missingBytes: number;
  /** In the ledger, and not stored: zero or more. */
  readonly extraBytes: number;
  /** In both, of different sizes. */
  readonly wrongSizeBytes: number;
  /** The sum was not that of the ledger's own entries. */
  readonly recountBytes: number;
}

type Listener<K extends keyof QuotaEvents> = (event: QuotaEvents[K]) => void;

/** Delivers events to listeners, synchronously; a listener that throws hurts nobody else. */
export class QuotaObserver {
  private readonly listeners: { [K in keyof QuotaEvents]: Listener<K>[] } = {
    check: [],
    late: [],
    cache: [],
    error: [],
    degraded: [],
    folded: [],
    store: [],
    changed: [],
    evicted: [],
    rollout: [],
    recorded: [],
    reconciled: [],
    lapsed: [],
    swept: [],
  };

  on<K extends keyof QuotaEvents>(name: K, listener: Listener<K>): void {
    this.listeners[name].push(listener);
  }

  emit<K extends keyof QuotaEvents>(name: K, event: QuotaEvents[K]): void {
    for (const listener of this.listeners[name]) {
      try {
        listener(event);
      } catch {
        // An observer's own failure must not turn into a tenant's.
      }
    }
  }
}
