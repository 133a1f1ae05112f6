import { errorEvent } from './error-event';
import type { QuotaObserver } from './observer';
import type { Reconciler } from './reconciler';
import { TenantQueue } from './tenant-queue';
import type { UsageTracker } from './usage-tracker';

/** Tenants looked after at once: a slow storage holds up neither the sweep nor, alone, the others here. */
const AT_ONCE = 4;
const PAGE = 500;

/**
 * Looks after reservations that lapsed and are held: whoever opened one may have stored or deleted
 * something and died before it told. The storage is asked about its key, the entry is put right, and
 * then the hold goes; so at no moment is less counted than is stored. What could not be done stays held,
 * and the next sweep, of any instance, tells of it again.
 */
export class LapsedHolds {
  private readonly queue: TenantQueue<null>;

  constructor(
    private readonly tracker: UsageTracker,
    private readonly reconciler: Reconciler,
    private readonly observer: QuotaObserver,
  ) {
    this.queue = new TenantQueue(
      AT_ONCE,
      (tenant) => this.lookAfter(tenant),
      (error, tenant) => observer.emit('error', errorEvent('lapsed', error, tenant)),
    );
  }

  /** Takes note of what a sweep said. */
  found(tenant: string): void {
    this.queue.add(tenant, null);
  }

  /** Resolves when nobody is waiting or under way. */
  idle(): Promise<void> {
    return this.queue.idle();
  }

  /** Begins no other tenant; resolves when those under way are over. */
  stop(): Promise<void> {
    return this.queue.stop();
  }

  private async lookAfter(tenant: string): Promise<void> {
    let cursor: string | null = null;
    let [found, letGo] = [0, 0];
    do {
      const page: Awaited<ReturnType<UsageTracker['lapsed']>> = await this.tracker.lapsed(
        tenant,
        cursor,
        PAGE,
      );
      const keys = [...new Set(page.holds.map(({ key }) => key))];
      const inLine = new Set(await this.reconciler.verify(tenant, keys));
      const ids = page.holds.filter(({ key }) => inLine.has(key)).map(({ id }) => id);
      if (ids.length > 0) letGo += await this.tracker.letGo(tenant, ids);
      found += page.holds.length;
      cursor = page.next;
    } while (cursor !== null);
    if (found > 0) this.observer.emit('lapsed', { tenant, found, letGo });
  }
}
