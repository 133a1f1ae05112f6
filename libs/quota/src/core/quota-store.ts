import type { PlanName } from './plans';
import type { QuotaMode } from './quota';
import { QuotaSource, type QuotaRow } from './quota-source';

/** Largest quota or overage in MB: what the table's integer column holds. */
export const MAX_QUOTA_MB = 2_147_483_647;

/** A new or changed quota. What is absent keeps its value, or takes the table's default in a new row. */
export interface QuotaPatch {
  /** Whole MB, 1 to 2^31 − 1. */
  readonly quotaMb?: number;
  readonly overageAllowed?: boolean;
  /** Whole MB, 0 to 2^31 − 1. */
  readonly overageLimitMb?: number;
  readonly mode?: QuotaMode | null;
}

export interface ChangeOptions {
  /** Who asks for the change; kept in the audit trail. */
  readonly actor: string;
  /** The row's version the change was made from; another one now → QuotaConflictError. */
  readonly expectedVersion?: number;
}

/**
 * Which rows are listed; all that is given must hold. What is used is what was last written into the
 * rows ({@link QuotaStore.recordUsage}), not the ledger's word of this moment.
 */
export interface QuotaFilter {
  /** True: those that use more than their quota. */
  readonly over?: boolean;
  /** Those that use at least so much of their quota, 0 to 100 %. */
  readonly nearPercent?: number;
  /** Those with this mode of their own; null: those without one. */
  readonly mode?: QuotaMode | null;
  /** Those with exactly this plan's limits. */
  readonly plan?: PlanName;
}

export interface QuotaListQuery extends QuotaFilter {
  /** Goes on after this tenant. */
  readonly after?: string;
  /** Rows of a page, 1 to 1,000. */
  readonly limit: number;
}

export interface QuotaPage {
  readonly rows: QuotaRow[];
  /** Tenant to go on after; null at the end. */
  readonly next: string | null;
}

/** What a change of a quota went from, or to. */
export type QuotaSettings = Pick<
  QuotaRow,
  'quotaMb' | 'overageAllowed' | 'overageLimitMb' | 'mode' | 'version'
>;

/** A line of the audit trail. */
export interface QuotaChangeRecord {
  /** The stamp of the change; rises with each change of a tenant. */
  readonly stamp: number;
  readonly action: 'create' | 'update' | 'delete';
  readonly actor: string;
  /** Null for `create`. */
  readonly before: QuotaSettings | null;
  /** Null for `delete`. */
  readonly after: QuotaSettings | null;
  readonly changedAt: Date;
}

/** A source that can be changed. Every change and its audit row are one transaction. */
export abstract class QuotaStore extends QuotaSource {
  /** Rows in the order of their tenant ids. @throws InvalidWriteError, InvalidTenantError */
  abstract list(query: QuotaListQuery): Promise<QuotaPage>;

  /**
   * Creates or changes the tenant's row.
   *
   * @throws QuotaConflictError when `expectedVersion` is not the row's (0: there must be no row).
   */
  abstract change(
    tenant: string,
    patch: QuotaPatch,
    options: ChangeOptions,
  ): Promise<{ row: QuotaRow; created: boolean; stamp: number }>;

  /** Deletes the row; null when there was none. Throws as {@link change}. */
  abstract delete(tenant: string, options: ChangeOptions): Promise<{ stamp: number } | null>;

  /**
   * The tenant's changes, the latest first; those of a deleted tenant too.
   *
   * @param query `before`: goes on before this stamp; `limit`: 1 to 1,000
   * @throws InvalidWriteError, InvalidTenantError
   */
  abstract changes(
    tenant: string,
    query: { before?: number; limit: number },
  ): Promise<{ changes: QuotaChangeRecord[]; next: number | null }>;

  /**
   * Writes what these tenants use into the rows there are, for people and queries to look at; the
   * ledger knows better. A reading is not written over one that was made later, on whatever instance.
   *
   * @param read used bytes by the ledger, of those of the tenants for which it can be said now
   * @returns how many rows changed
   */
  abstract recordUsage(
    tenants: readonly string[],
    read: (tenants: readonly string[]) => Promise<ReadonlyMap<string, number>>,
  ): Promise<number>;
}
