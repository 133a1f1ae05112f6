import { Injectable } from '@nestjs/common';
import { QuotaObserver, QuotaUnavailableError, usedBytes, UsageTracker } from '@app/quota';
import { CacheStore } from './cache-store';

/** Bounds of one call. */
export const MAX_EVICTED = 1_000;
const MAX_MS = 5_000;

export interface EvictionReport {
  readonly evicted: number;
  /** Bytes that the tenant's usage fell by. */
  readonly freedBytes: number;
  readonly usedBytes: number;
  /** The target is reached, or nothing is left of what was there; false: call again. */
  readonly done: boolean;
}

/** Removes a tenant's entries one by one, each as DELETE does. */
@Injectable()
export class Eviction {
  constructor(
    private readonly store: CacheStore,
    private readonly tracker: UsageTracker,
    private readonly observer: QuotaObserver,
  ) {}

  /**
   * @param targetBytes goes on until used is no more than that; null: until nothing is left
   * @throws QuotaUnavailableError: what was removed until then stays removed
   */
  async run(tenant: string, targetBytes: number | null, actor: string): Promise<EvictionReport> {
    const until = performance.now() + MAX_MS;
    const counted = { evicted: 0, freedBytes: 0 };
    let used = usedBytes(await this.tracker.read(tenant));
    const reached = (): boolean => targetBytes !== null && used <= targetBytes;
    const report = (done: boolean): EvictionReport => ({ ...counted, usedBytes: used, done });
    if (reached()) return report(true);
    const { entries, complete } = await this.store.evictable(tenant, MAX_EVICTED);
    try {
      for (const entry of entries) {
        if (performance.now() > until) return report(false);
        const { removed, freedBytes, usage } = await this.store.evict(tenant, entry);
        if (removed) counted.evicted += 1;
        counted.freedBytes += freedBytes;
        if (usage === null) throw new QuotaUnavailableError('evict', { applied: 'unknown' });
        used = usedBytes(usage);
        if (reached()) return report(true);
      }
    } finally {
      if (counted.evicted > 0) this.observer.emit('evicted', { tenant, actor, ...counted });
    }
    return report(complete);
  }
}
