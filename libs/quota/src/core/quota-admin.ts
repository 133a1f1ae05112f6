import { Budget } from './budget';
import type { QuotaObserver } from './observer';
import type { QuotaCacheService } from './quota-cache.service';
import type {
  ChangeOptions,
  QuotaChangeRecord,
  QuotaListQuery,
  QuotaPage,
  QuotaPatch,
  QuotaStore,
} from './quota-store';
import type { QuotaRow } from './quota-source';
import type { Reconciler, ReconcileReport } from './reconciler';
import { parseTenantId } from './tenant';
import type { UsageTracker } from './usage-tracker';

/** Ms that an operator waits for a change of a quota, longer than a request: row locks take their turn. */
const CHANGE_MS = 2_000;

/** What an operator does with quotas. A change holds on every instance for the next request. */
export class QuotaAdmin {
  constructor(
    private readonly store: QuotaStore,
    private readonly quotas: QuotaCacheService,
    private readonly tracker: UsageTracker,
    private readonly reconciler: Reconciler,
    private readonly observer: QuotaObserver,
  ) {}

  /** Rows in the order of their tenant ids. Throws as {@link QuotaStore.list}. */
  list(query: QuotaListQuery): Promise<QuotaPage> {
    return this.store.list(query);
  }

  /** The tenant's row, or null. @throws InvalidTenantError */
  async get(tenant: string): Promise<QuotaRow | null> {
    return (await this.store.load(parseTenantId(tenant))).row;
  }

  /** Who changed the tenant's quota, the latest first. Throws as {@link QuotaStore.changes}. */
  changes(
    tenant: string,
    query: { before?: number; limit: number },
  ): Promise<{ changes: QuotaChangeRecord[]; next: number | null }> {
    return this.store.changes(parseTenantId(tenant), query);
  }

  /**
   * Creates or changes a quota.
   *
   * @throws InvalidTenantError, QuotaConflictError
   * @throws QuotaUnavailableError after 2 s at most; `applied: 'unknown'`: it may be made all the same
   */
  async set(
    tenant: string,
    patch: QuotaPatch,
    options: ChangeOptions,
  ): Promise<{ row: QuotaRow; created: boolean }> {
    parseTenantId(tenant);
    return this.inTime(async () => {
      const { row, created, stamp } = await this.store.change(tenant, patch, options);
      await this.announce(tenant, row, stamp, options.actor);
      return { row, created };
    });
  }

  /**
   * Deletes a tenant: its quota, its usage and the entries kept beside the ledger. Writes on their
   * way bounce. False when it had no row (its entries are gone all the same).
   */
  async delete(tenant: string, options: ChangeOptions): Promise<boolean> {
    parseTenantId(tenant);
    const deleted = await this.inTime(async () => {
      const row = await this.store.delete(tenant, options);
      if (row !== null) await this.announce(tenant, null, row.stamp, options.actor);
      return row !== null;
    });
    await this.tracker.drop(tenant);
    return deleted;
  }

  /** Recomputes the tenant's usage from what is really stored. */
  async reconcile(tenant: string): Promise<ReconcileReport> {
    const report = await this.reconciler.reconcile(parseTenantId(tenant));
    await this.tracker.accept(tenant);
    return report;
  }

  /** What is late goes on: a change that is made after all must be told of. */
  private inTime<T>(change: () => Promise<T>): Promise<T> {
    return new Budget(CHANGE_MS).wait('quota_change', change());
  }

  private async announce(
    tenant: string,
    row: QuotaRow | null,
    stamp: number,
    actor: string,
  ): Promise<void> {
    await this.quotas.announce(this.quotas.fromSource(tenant, row, stamp));
    this.observer.emit('changed', { tenant, stamp, actor });
  }
}
