import type { QuotaMode, TenantQuota } from './quota';

/** A tenant's row, in the units of the table. */
export interface QuotaRow {
  readonly tenant: string;
  readonly quotaMb: number;
  readonly overageAllowed: boolean;
  readonly overageLimitMb: number;
  readonly mode: QuotaMode | null;
  /** Rises by one with every change of the row; for optimistic locking. */
  readonly version: number;
  readonly currentUsageBytes: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Where the truth about quotas lives. Any method may throw QuotaUnavailableError. */
export abstract class QuotaSource {
  /**
   * The tenant's row, or null, with the stamp of its latest change (0: never changed). The stamp
   * outlives the row. A row that breaks the table's own rules is an error, not a quota.
   */
  abstract load(tenant: string): Promise<{ row: QuotaRow | null; stamp: number }>;
}

/**
 * Stands where otherwise the tenant does, on the same channel. No tenant has such a name, so that an
 * instance which knows nothing of it takes it for a change of nobody's quota.
 */
const ROLLOUT = '@rollout ';

/** What is announced of the rollout, in place of a tenant. */
export function asRolloutName(word: string): string {
  return ROLLOUT + word;
}

/** What was announced of the rollout; null: something else. */
export function rolloutWordOf(name: string): string | null {
  return name.startsWith(ROLLOUT) ? name.slice(ROLLOUT.length) : null;
}

/** As {@link ROLLOUT}, before a tenant of whom the ledger has lost what it knew. */
const LOSS = '@lost ';

/** What is announced when the ledger has lost what it knew of a tenant. */
export function asLossName(tenant: string): string {
  return LOSS + tenant;
}

/** The tenant of such a loss; null: something else was announced. */
export function lossOf(name: string): string | null {
  return name.startsWith(LOSS) ? name.slice(LOSS.length) : null;
}

/** The middle tier of the configuration: copies that all instances share, and word of changes. */
export abstract class SharedQuotaCache {
  /** The shared copy, or null when there is none or it cannot be read as one. */
  abstract get(tenant: string): Promise<TenantQuota | null>;

  /** Leaves a copy for the other instances; never replaces one with a higher stamp. */
  abstract put(quota: TenantQuota, ttlMs: number): Promise<void>;

  /**
   * After a change, in one step: leaves the copy, raises the ledger's stamp, so that a write decided
   * with an older copy is answered `stale`, and tells every instance.
   */
  abstract announce(quota: TenantQuota, ttlMs: number): Promise<void>;

  /**
   * Tells every instance of a change of the rollout; see {@link rolloutWordOf}. Resolves when those that
   * are known to listen have taken it in, or after half a second.
   */
  announceRollout(_word: string, _version: number): Promise<void> {
    return Promise.resolve();
  }

  /** Tells every instance that the ledger has lost what it knew of the tenant; see {@link lossOf}. */
  announceLoss(_tenant: string): Promise<void> {
    return Promise.resolve();
  }

  /**
   * Calls back for each change announced anywhere; with `'*'` when changes may have been missed.
   * Resolves to a function that ends the subscription.
   */
  abstract subscribe(
    listener: (tenant: string, stamp: number) => void,
  ): Promise<() => Promise<void>>;
}
