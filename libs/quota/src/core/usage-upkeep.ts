import { isNativeError } from 'node:util/types';
import type { HeldLease, UpkeepLease } from './lease';
import type { QuotaObserver } from './observer';
import type { QuotaPage, QuotaStore } from './quota-store';
import type { Reconciler } from './reconciler';
import { LapsedHolds } from './lapsed-holds';
import { Recovery } from './recovery';
import { Rounds, type RoundResult } from './rounds';
import { UnsettledTenants } from './unsettled-tenants';
import { usedBytes, type TenantPage, type UsageTracker } from './usage-tracker';

export interface UsageUpkeepOptions {
  /** Ms between two sweeps, at most; 0: none. */
  readonly sweepMs: number;
  /** Ms between two writings of usage to the table of quotas, over all instances; 0: none. */
  readonly usageSyncMs: number;
  /** Ms between two reconciliations of all tenants, over all instances; 0: none. */
  readonly reconcileMs: number;
}

/** Tenants in a page of a walk; in Redis, keys looked at in one call, which takes it about 0.5 ms. */
const PAGE = 1_000;
/** Rows written by one statement. */
const ROWS = 500;
/** Calls to the ledger at once, so that a round never fills the connection before the requests. */
const AT_ONCE = 8;
/** Of one tenant reaped in one visit: 4,000 of each kind; its next visit comes after the others'. */
const BATCH = 500;
const BATCHES = 8;
/** A round's lease is kept so long from page to page; a killed holder's ends by itself. */
const LEASE_MS = 10_000;

interface Swept {
  expiredEntries: number;
  expiredReservations: number;
  freedBytes: number;
}

/**
 * What nobody's request triggers: expired entries and lapsed reservations of tenants that no longer
 * write go, usage is written to the table of quotas, and usage is recomputed from what is really
 * there. Instances that do it at once do no harm; they take turns by a lease to spare the stores.
 * What fails is told to the observer and tried again in the next round.
 */
export class UsageUpkeep {
  private readonly rounds: Rounds[] = [];
  private readonly recovery: Recovery;
  private readonly unsettled: UnsettledTenants;
  private readonly lapsed: LapsedHolds;
  private stopped = false;

  constructor(
    private readonly parts: {
      readonly tracker: UsageTracker;
      readonly store: QuotaStore;
      readonly reconciler: Reconciler;
      readonly lease: UpkeepLease;
      readonly observer: QuotaObserver;
    },
    private readonly options: UsageUpkeepOptions,
  ) {
    this.recovery = new Recovery(parts);
    const { tracker, reconciler } = parts;
    this.unsettled = new UnsettledTenants(tracker, reconciler, (error, tenant) =>
      this.tell('reconcile', error, tenant),
    );
    this.lapsed = new LapsedHolds(tracker, reconciler, parts.observer);
  }

  start(): void {
    const { sweepMs, usageSyncMs, reconcileMs } = this.options;
    this.begin('sweep', sweepMs, () => this.sweepInTurn(sweepMs));
    this.begin('usage_sync', usageSyncMs, () => this.taking('usage_sync', usageSyncMs));
    this.begin('reconcile', reconcileMs, () => this.taking('reconcile', reconcileMs));
  }

  /** Ends the rounds; resolves when those under way are over, which is soon. */
  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all([
      ...this.rounds.map((rounds) => rounds.stop()),
      ...[this.recovery.stop(), this.unsettled.stop(), this.lapsed.stop()],
    ]);
  }

  /**
   * Reaps what is due of every tenant, and has reservations looked after that lapsed, which goes on
   * after it. `more`: there is still something due.
   */
  async sweep(): Promise<Swept & { more: boolean }> {
    const { tracker, observer } = this.parts;
    const total = { expiredEntries: 0, expiredReservations: 0, freedBytes: 0 };
    let more = false;
    try {
      await this.walk(
        (cursor) => tracker.due(cursor, PAGE),
        (tenants) =>
          this.eachOf(tenants, 'sweep', async (tenant) => {
            if (await this.sweepTenant(tenant, total)) more = true;
          }),
      );
    } finally {
      if (total.expiredEntries + total.expiredReservations > 0) observer.emit('swept', total);
    }
    return { ...total, more };
  }

  /** Writes every row's usage. Returns how many changed. */
  async syncUsage(lease?: HeldLease): Promise<number> {
    let changed = 0;
    let after: string | null = null;
    do {
      const { rows, next }: QuotaPage = await this.parts.store.list({
        ...(after !== null && { after }),
        limit: ROWS,
      });
      changed += await this.record(rows.map(({ tenant }) => tenant));
      after = next;
      if (lease !== undefined && !(await lease.keep(LEASE_MS))) break;
    } while (after !== null && !this.stopped);
    return changed;
  }

  /**
   * Writes the usage of these tenants, as far as they have rows and what is left at `limitMs` allows;
   * works after {@link stop} too.
   */
  async syncTenants(tenants: readonly string[], limitMs = Infinity): Promise<number> {
    const deadline = performance.now() + limitMs;
    const late = (): boolean => performance.now() > deadline;
    let changed = 0;
    for (let from = 0; from < tenants.length && !late(); from += ROWS) {
      changed += await this.record(tenants.slice(from, from + ROWS), late);
    }
    return changed;
  }

  /** Reconciles every tenant that has state, but those that another instance is at. */
  async reconcileAll(lease?: HeldLease): Promise<void> {
    const { tracker, reconciler } = this.parts;
    await this.walk(
      (cursor) => tracker.tenants(cursor, PAGE),
      async (tenants) => {
        for (const tenant of tenants) {
          if (this.stopped) return;
          await this.quietly('reconcile', tenant, () =>
            reconciler.reconcileIfFree(tenant, { routine: true }),
          );
          if (lease !== undefined && !(await lease.keep(LEASE_MS))) return;
        }
      },
    );
  }

  /**
   * Reconciles all tenants, once over all instances: the ledger's server is another one now, and may
   * lack the latest writes.
   *
   * @param server names this term of the server
   * @returns true: done by this instance; false: by another, or stopped
   */
  recover(server: string): Promise<boolean> {
    return this.recovery.recover(server);
  }

  private begin(operation: string, ms: number, work: () => Promise<RoundResult>): void {
    if (ms === 0) return;
    const rounds = new Rounds(ms, work, (error) => this.tell(operation, error));
    this.rounds.push(rounds);
    rounds.start();
  }

  /**
   * However many instances there are, they sweep at most twice an interval: the lease is held for half
   * of it and not given up. One that finds it taken looks again after another half, so that a holder
   * that was killed costs no time.
   */
  private async sweepInTurn(intervalMs: number): Promise<RoundResult> {
    const lease = await this.parts.lease.take('sweep', Math.ceil(intervalMs / 2));
    if (lease === null) return 'elsewhere';
    const { more } = await this.sweep();
    if (!more) return 'done';
    await lease.release();
    return 'more';
  }

  /**
   * A round of which one is enough for all instances: the lease is kept while it goes on, and then for
   * half the interval more, so that the others' next turn finds it done.
   */
  private async taking(name: 'usage_sync' | 'reconcile', intervalMs: number): Promise<RoundResult> {
    const lease = await this.parts.lease.take(name, LEASE_MS);
    if (lease === null) return 'done';
    await (name === 'reconcile' ? this.reconcileAll(lease) : this.syncUsage(lease));
    await (this.stopped ? lease.release() : lease.keep(Math.ceil(intervalMs / 2)));
    return 'done';
  }

  private async walk(
    page: (cursor: string | null) => Promise<TenantPage>,
    visit: (tenants: readonly string[]) => Promise<void>,
  ): Promise<void> {
    let cursor: string | null = null;
    do {
      const { tenants, next }: TenantPage = await page(cursor);
      await visit(tenants);
      cursor = next;
    } while (cursor !== null && !this.stopped);
  }

  private async sweepTenant(tenant: string, total: Swept): Promise<boolean> {
    let [unsettled, lapsed] = [0, false];
    let more = true;
    for (let batch = 0; batch < BATCHES && more; batch += 1) {
      const reply = await this.parts.tracker.sweep(tenant, BATCH);
      ({ unsettled, lapsed, more } = reply);
      total.expiredEntries += reply.expiredEntries;
      total.expiredReservations += reply.expiredReservations;
      total.freedBytes += reply.freedBytes;
    }
    if (lapsed) this.lapsed.found(tenant);
    if (unsettled > 0) await this.unsettled.found(tenant, unsettled);
    return more;
  }

  private async record(tenants: readonly string[], ended?: () => boolean): Promise<number> {
    if (tenants.length === 0) return 0;
    return this.parts.store.recordUsage(tenants, async (present) => {
      const used = new Map<string, number>();
      const read = async (tenant: string): Promise<void> => {
        used.set(tenant, usedBytes(await this.parts.tracker.read(tenant)));
      };
      await this.eachOf(present, 'usage_sync', read, ended);
      return used;
    });
  }

  private async eachOf(
    tenants: readonly string[],
    operation: string,
    work: (tenant: string) => Promise<void>,
    ended: () => boolean = () => this.stopped,
  ): Promise<void> {
    const queue = tenants.values();
    const lane = async (): Promise<void> => {
      for (const tenant of queue) {
        if (ended()) return;
        await this.quietly(operation, tenant, () => work(tenant));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
  }

  /** One tenant's trouble is told of, and stays with it. */
  private async quietly(
    operation: string,
    tenant: string,
    work: () => Promise<unknown>,
  ): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.tell(operation, error, tenant);
    }
  }

  private tell(operation: string, error: unknown, tenant?: string): void {
    const name = isNativeError(error) ? error.name : 'Error';
    this.parts.observer.emit('error', {
      operation,
      error: name,
      ...(tenant !== undefined && { tenant }),
    });
  }
}
