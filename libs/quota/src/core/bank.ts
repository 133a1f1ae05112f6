import { QuotaUnavailableError } from './errors';

/**
 * Part of a tenant's hard limit that the bank has given to the ledger beside it. A ledger takes a
 * grant only in place of the one it was computed from, so that a late one does no harm.
 */
export interface Grant {
  /** Names the tenant's life, by the bank; another one means that the tenant was deleted meanwhile. */
  readonly generation: string;
  /** Rises with every grant of the tenant, over all its lives. */
  readonly seq: number;
  /** All that is granted, in bytes, this grant included. */
  readonly bytes: number;
}

export interface GrantRequest {
  readonly tenant: string;
  /** {@link Grant.seq} the ledger knows; 0: none. */
  readonly seen: number;
  /** What the ledger wants to hold, in bytes. */
  readonly wantBytes: number;
  /** Granted and drawn stay within it. */
  readonly hardBytes: number;
  /** Granted beyond what is wanted, as far as the limit allows, so that not every write asks. */
  readonly chunkBytes: number;
  /** The ledger was rebuilt from what is really stored: what it knows is right, whatever it was. */
  readonly rebuilt?: boolean;
}

export type GrantReply =
  /** `grant.bytes` is less than wanted where nothing more can be granted. */
  | { readonly outcome: 'granted'; readonly grant: Grant; readonly drawnBytes: number }
  /**
   * The ledger has said that it knew a later grant than now, or says that it knows none where there is
   * one: its data is gone, or is older than it was, or the first grant never reached it.
   */
  | { readonly outcome: 'lost'; readonly generation: string }
  /** The tenant was deleted, and the ledger's part of it must go first; see {@link QuotaBank.dropped}. */
  | { readonly outcome: 'dropping'; readonly generation: string };

/** What one key came to while the bank decided; `bytes` absent: it was removed. */
export interface FoldItem {
  readonly key: string;
  readonly bytes?: number;
  /** Left of its life; 0: it has expired meanwhile. Absent: it does not expire. */
  readonly ttlMs?: number;
  /** See CommitRequest.version; 0 when it had none. */
  readonly version: number;
}

/** A part of the bank's journal. It does not change any more until {@link QuotaBank.endFold}. */
export interface FoldBatch {
  /** Rises by one with each batch of the tenant. */
  readonly number: number;
  readonly generation: string;
  readonly items: readonly FoldItem[];
  /** Charged without a key. */
  readonly unkeyedBytes: number;
  /** Given back of what the ledger had charged without a key. */
  readonly refundBytes: number;
  /** Of items and charges: moves from drawn to granted. */
  readonly bytes: number;
}

export interface GrantedTenant {
  readonly tenant: string;
  readonly grantedBytes: number;
  /** {@link GrantRequest.chunkBytes} of the last request. */
  readonly chunkBytes: number;
}

/** How much waits for its way into the ledger. */
export interface JournalDepth {
  readonly tenants: number;
  /** Keys, and what has no key once for each tenant; both are counted as far as was asked for. */
  readonly entries: number;
}

export interface BankStanding {
  readonly generation: string;
  readonly grantedBytes: number;
  /** Committed, reserved and on their way to the ledger. */
  readonly drawnBytes: number;
  /** There is something to fold or to drop. */
  readonly pending: boolean;
  /** The tenant was deleted, and the ledger's part of it must go; see {@link QuotaBank.dropped}. */
  readonly dropping: boolean;
  /** Of this life so far: {@link FoldBatch.number} of the last one. */
  readonly batches: number;
}

/**
 * Where the parts of hard limits are given out, and the journal of what it has admitted itself.
 * Granted + drawn ≤ hard limit, whoever is cut off from whom. Any method may throw
 * QuotaUnavailableError, and every one can be sent again.
 */
export abstract class QuotaBank {
  abstract grant(request: GrantRequest): Promise<GrantReply>;

  /**
   * Takes back what the ledger has given back of this grant. Without effect when another was granted or
   * a batch was folded since, which the ledger may have taken by now.
   *
   * @returns whether it was this grant
   */
  abstract lower(tenant: string, grant: Grant): Promise<boolean>;

  /** Tenants that are granted more than a chunk, by name, after `after`. */
  abstract lowerable(after: string | null, limit: number): Promise<GrantedTenant[]>;

  /** The batch under way, else a new one of at most `max` items; null: there is nothing to fold. */
  abstract beginFold(tenant: string, max: number): Promise<FoldBatch | null>;

  /** The ledger has the batch: its bytes are granted now, and it is forgotten. */
  abstract endFold(tenant: string, number: number): Promise<void>;

  /** The ledger's part of a deleted tenant is gone; nothing is granted any more. */
  abstract dropped(tenant: string, generation: string): Promise<void>;

  abstract standing(tenant: string): Promise<BankStanding | null>;

  /** Tenants with something to fold or to drop, by name, after `after`. */
  abstract pending(after: string | null, limit: number): Promise<string[]>;

  /** How long the journal is; counting ends at `most`, so that a long one costs no more. */
  abstract journal(most: number): Promise<JournalDepth>;
}

export interface LedgerStanding {
  /** Names this life of the tenant in the ledger: the part before the `/` of a generation; null: none. */
  readonly life: string | null;
  /** {@link Grant.generation} of the grant it has, or is being rebuilt for; null: neither. */
  readonly generation: string | null;
  readonly seq: number;
  readonly grantBytes: number;
  /** It admits nothing until the rebuild under way has ended. */
  readonly rebuilding: boolean;
  /** The last batch it has taken. */
  readonly fold: number;
}

/**
 * What a ledger under a bank does beside a UsageTracker's operations. Its `reserve` and `commit` throw
 * {@link GrantShortError} for a write that fits the limit and not the grant. The generation that its
 * `reserve` replies is `own/bank's`; a `commit` looks at the own part, and takes that alone as well.
 */
export interface GrantedLedger {
  ledgerStanding(tenant: string): Promise<LedgerStanding>;

  /**
   * From here on it admits nothing until {@link takeGrant} with this nonce; entries can be corrected
   * meanwhile. So begins its first grant too, and what comes after its data was lost. Another rebuild
   * under way is overtaken.
   *
   * @param seen {@link LedgerStanding.seq} that gave reason for it
   * @returns `known`: it has another grant by now, nothing was changed
   */
  beginRebuild(
    tenant: string,
    generation: string,
    nonce: string,
    seen: number,
  ): Promise<'begun' | 'known' | 'other-life'>;

  /**
   * Takes a grant that is later than its own, or the one that ends a rebuild.
   *
   * @returns `known`: it has this one or a later one; `lost`: it has none that this one could replace,
   * or is being rebuilt under another nonce
   */
  takeGrant(
    tenant: string,
    grant: Grant,
    nonce?: string,
  ): Promise<'taken' | 'known' | 'lost' | 'other-life'>;

  /**
   * Gives back what of its grant is beyond used and a chunk, unless that is less than another chunk.
   *
   * @returns what is left of the grant, for {@link QuotaBank.lower}; null: it has none
   */
  lowerGrant(tenant: string, chunkBytes: number): Promise<Grant | null>;

  /**
   * Applies a batch and raises its grant by it, in one step, once. Never refused by a limit. What its
   * own entry of a key has a higher version than stays.
   *
   * @returns `lost`: it has no grant, or is being rebuilt
   */
  fold(tenant: string, batch: FoldBatch): Promise<'done' | 'lost' | 'other-life'>;
}

/** The write fits the limit, but not what the bank has granted. Nothing was changed. */
export class GrantShortError extends QuotaUnavailableError {
  constructor(
    operation: string,
    /** What the ledger would hold after the write. */
    readonly wantBytes: number,
    /** {@link Grant.seq} the ledger knows; 0: none. */
    readonly seen: number,
  ) {
    super(operation, { applied: 'no', contact: 'answered' });
  }
}
