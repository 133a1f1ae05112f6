import type { Reconciler } from './reconciler';
import { TenantQueue } from './tenant-queue';
import type { UsageTracker } from './usage-tracker';

/** Tenants reconciled at once: a large one holds up neither the sweep nor, alone, the others here. */
const AT_ONCE = 2;
/** Between two reconciliations of one tenant; doubled while it happens in a row. */
const PAUSE_MS = 5_000;
const LONGEST_PAUSE_MS = 60_000;
/** A tenant heard of again so soon after its pause is a row. */
const ROW_MS = 60_000;
/** Tenants whose pause is remembered; one forgotten is reconciled a little earlier. */
const MOST_PACED = 10_000;

interface Pace {
  readonly pauseMs: number;
  readonly endsAt: number;
}

/**
 * Looks after tenants of which something unknown may have been stored: after a drop, by a write of the
 * life that ended, or under a reservation without a key that lapsed. With a storage to ask the tenant
 * is reconciled; without one there is nothing to find out. What could not be done stays unsettled in the
 * ledger, so the next sweep, of any instance, tells of it again.
 */
export class UnsettledTenants {
  /** Of the number that the sweep said. */
  private readonly queue: TenantQueue<number>;
  private readonly paces = new Map<string, Pace>();

  /** @param clock ms, going on evenly */
  constructor(
    private readonly tracker: UsageTracker,
    private readonly reconciler: Reconciler,
    onError: (error: unknown, tenant: string) => void,
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.queue = new TenantQueue(AT_ONCE, (tenant, count) => this.settle(tenant, count), onError);
  }

  /** Takes note of what a sweep said. Waits for one call to the ledger at most. */
  async found(tenant: string, count: number): Promise<void> {
    if (!this.reconciler.hasStorage) {
      await this.tracker.settled(tenant, count);
      return;
    }
    const pausing = this.clock() < (this.paces.get(tenant)?.endsAt ?? -Infinity);
    if (!pausing) this.queue.add(tenant, count);
  }

  /** Resolves when nobody is waiting or under way. */
  idle(): Promise<void> {
    return this.queue.idle();
  }

  /** Begins no other; resolves when those under way are over. */
  stop(): Promise<void> {
    return this.queue.stop();
  }

  private async settle(tenant: string, count: number): Promise<void> {
    const { pauseMs, endsAt } = this.paces.get(tenant) ?? { pauseMs: 0, endsAt: -Infinity };
    const inRow = this.clock() < endsAt + ROW_MS;
    // Unless it works, which only then makes a row, it is tried again as early as may be.
    this.pace(tenant, Math.max(PAUSE_MS, inRow ? pauseMs : 0));
    const report = await this.reconciler.reconcileIfFree(tenant, { routine: true });
    if (report === null) return; // somebody is at it, who may have begun before the storage changed
    await this.tracker.settled(tenant, count);
    this.pace(tenant, inRow ? Math.min(pauseMs * 2, LONGEST_PAUSE_MS) : PAUSE_MS);
  }

  private pace(tenant: string, pauseMs: number): void {
    this.paces.delete(tenant);
    this.paces.set(tenant, { pauseMs, endsAt: this.clock() + pauseMs });
    for (const [oldest] of this.paces) {
      if (this.paces.size <= MOST_PACED) return;
      this.paces.delete(oldest);
    }
  }
}
