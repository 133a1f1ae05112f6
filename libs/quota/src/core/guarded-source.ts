import type { Breaker } from './breaker';
import { inTime } from './budget';
import type { TenantQuota } from './quota';
import { SharedQuotaCache, type QuotaRow } from './quota-source';
import {
  QuotaStore,
  type ChangeOptions,
  type QuotaChangeRecord,
  type QuotaListQuery,
  type QuotaPage,
  type QuotaPatch,
} from './quota-store';

const LOAD_DEADLINE_MS = 400;

/** Quotas behind a breaker. A load, which requests wait for, has a deadline of its own too. */
export class GuardedQuotaStore extends QuotaStore {
  constructor(
    private readonly inner: QuotaStore,
    private readonly breaker: Breaker,
    private readonly loadDeadlineMs: number = LOAD_DEADLINE_MS,
  ) {
    super();
  }

  load(tenant: string): Promise<{ row: QuotaRow | null; stamp: number }> {
    return this.breaker.run('config', () =>
      inTime('config', this.loadDeadlineMs, this.inner.load(tenant)),
    );
  }

  list(query: QuotaListQuery): Promise<QuotaPage> {
    return this.breaker.run('config', () => this.inner.list(query));
  }

  change(
    tenant: string,
    patch: QuotaPatch,
    options: ChangeOptions,
  ): Promise<{ row: QuotaRow; created: boolean; stamp: number }> {
    return this.breaker.run('quota_change', () => this.inner.change(tenant, patch, options));
  }

  delete(tenant: string, options: ChangeOptions): Promise<{ stamp: number } | null> {
    return this.breaker.run('quota_change', () => this.inner.delete(tenant, options));
  }

  changes(
    tenant: string,
    query: { before?: number; limit: number },
  ): Promise<{ changes: QuotaChangeRecord[]; next: number | null }> {
    return this.breaker.run('config', () => this.inner.changes(tenant, query));
  }

  recordUsage(
    tenants: readonly string[],
    read: (tenants: readonly string[]) => Promise<ReadonlyMap<string, number>>,
  ): Promise<number> {
    return this.breaker.run('usage_sync', () => this.inner.recordUsage(tenants, read));
  }
}

/** Shared copies behind a breaker: while their store is away they are skipped at once. */
export class GuardedQuotaCache extends SharedQuotaCache {
  constructor(
    private readonly inner: SharedQuotaCache,
    private readonly breaker: Breaker,
  ) {
    super();
  }

  get(tenant: string): Promise<TenantQuota | null> {
    return this.breaker.run('config-get', () => this.inner.get(tenant));
  }

  put(quota: TenantQuota, ttlMs: number): Promise<void> {
    return this.breaker.run('config-put', () => this.inner.put(quota, ttlMs));
  }

  announce(quota: TenantQuota, ttlMs: number): Promise<void> {
    return this.breaker.run('config-announce', () => this.inner.announce(quota, ttlMs));
  }

  override announceRollout(word: string, version: number): Promise<void> {
    return this.breaker.run('rollout-announce', () => this.inner.announceRollout(word, version));
  }

  override announceLoss(tenant: string): Promise<void> {
    return this.breaker.run('loss-announce', () => this.inner.announceLoss(tenant));
  }

  /** Not behind the breaker: it has a connection of its own, and comes back by itself. */
  subscribe(listener: (tenant: string, stamp: number) => void): Promise<() => Promise<void>> {
    return this.inner.subscribe(listener);
  }
}
