import type { Reconciler } from './reconciler';
import type { UsageTracker } from './usage-tracker';

/** Tenants reconciled at once: a large one holds up neither the sweep nor, alone, the others here. */
const AT_ONCE = 2;
/** Waiting at once; the others stay unsettled in the ledger, and the next sweep tells of them again. */
const MOST_WAITING = 1_000;
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
 * Looks after tenants whose reservations lapsed: whoever opened one may have stored or deleted
 * something and died before it told. With a storage to ask the tenant is reconciled; without one there
 * is nothing to find out. What could not be done stays unsettled in the ledger, so the next sweep, of
 * any instance, tells of it again.
 */
export class UnsettledTenants {
  /** The number that the sweep said, by tenant. */
  private readonly waiting = new Map<string, number>();
  private readonly paces = new Map<string, Pace>();
  private readonly lanes = new Set<Promise<void>>();
  private readonly underWay = new Set<string>();
  private stopped = false;

  /** @param clock ms, going on evenly */
  constructor(
    private readonly tracker: UsageTracker,
    private readonly reconciler: Reconciler,
    private readonly onError: (error: unknown, tenant: string) => void,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** Takes note of what a sweep said. Waits for one call to the ledger at most. */
  async found(tenant: string, count: number): Promise<void> {
    if (!this.reconciler.hasStorage) {
      await this.tracker.settled(tenant, count);
      return;
    }
    const known = this.waiting.has(tenant) || this.underWay.has(tenant);
    const full = this.waiting.size >= MOST_WAITING;
    const pausing = this.clock() < (this.paces.get(tenant)?.endsAt ?? -Infinity);
    if (this.stopped || known || full || pausing) return;
    this.waiting.set(tenant, count);
    if (this.lanes.size < AT_ONCE) this.openLane();
  }

  /** Resolves when nobody is waiting or under way. */
  async idle(): Promise<void> {
    while (this.lanes.size > 0) await Promise.all(this.lanes);
  }

  /** Begins no other; resolves when those under way are over. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.waiting.clear();
    await this.idle();
  }

  private openLane(): void {
    const lane = this.work().finally(() => this.lanes.delete(lane));
    this.lanes.add(lane);
  }

  private async work(): Promise<void> {
    for (;;) {
      const [next] = this.waiting;
      if (next === undefined) return;
      const [tenant, count] = next;
      this.waiting.delete(tenant);
      this.underWay.add(tenant);
      try {
        await this.settle(tenant, count);
      } catch (error) {
        this.onError(error, tenant);
      } finally {
        this.underWay.delete(tenant);
      }
    }
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
