import type { Breaker } from './breaker';
import {
  UsageLog,
  type CacheMetricsQuery,
  type CacheMetricsRecord,
  type CacheRequestCounts,
  type CountBatch,
  type UsageCounts,
  type UsageLogPage,
  type UsageQuery,
  type UsageRecord,
} from './usage-log';

/** The usage log behind the breaker of its store: while that is away nobody waits for it. */
export class GuardedUsageLog extends UsageLog {
  constructor(
    private readonly inner: UsageLog,
    private readonly breaker: Breaker,
  ) {
    super();
  }

  addCounts(batch: CountBatch<UsageCounts>): Promise<void> {
    return this.breaker.run('usage_counts', () => this.inner.addCounts(batch));
  }

  addCacheRequests(batch: CountBatch<CacheRequestCounts>): Promise<void> {
    return this.breaker.run('usage_counts', () => this.inner.addCacheRequests(batch));
  }

  addReadings(
    tenants: readonly string[],
    read: (tenants: readonly string[]) => Promise<ReadonlyMap<string, number>>,
    maxGapSeconds: number,
  ): Promise<void> {
    return this.breaker.run('usage_meter', () =>
      this.inner.addReadings(tenants, read, maxGapSeconds),
    );
  }

  holders(unreadSeconds: number, after: string, limit: number): Promise<readonly string[]> {
    return this.breaker.run('usage_meter', () => this.inner.holders(unreadSeconds, after, limit));
  }

  prune(retentionDays: number): Promise<boolean> {
    return this.breaker.run('usage_prune', () => this.inner.prune(retentionDays));
  }

  usage(query: UsageQuery): Promise<UsageLogPage<UsageRecord>> {
    return this.breaker.run('usage', () => this.inner.usage(query));
  }

  cacheMetrics(query: CacheMetricsQuery): Promise<UsageLogPage<CacheMetricsRecord>> {
    return this.breaker.run('cache_metrics', () => this.inner.cacheMetrics(query));
  }
}
