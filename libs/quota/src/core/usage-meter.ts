import { errorEvent } from './error-event';
import type { HeldLease, UpkeepLease } from './lease';
import type { QuotaObserver } from './observer';
import { Rounds, type RoundResult } from './rounds';
import type { UsageLog } from './usage-log';
import { usedBytes, type TenantPage, type UsageTracker } from './usage-tracker';

export interface UsageMeterOptions {
  /** Ms between two readings of all tenants, over all instances; 0: none. */
  readonly intervalMs: number;
  /** Days that samples and metrics are kept. */
  readonly retentionDays: number;
}

/** Tenants in a page of the ledger's; in Redis, keys looked at in one call. */
const PAGE = 1_000;
/** Tenants of one writing. After a gap of days each has a row for every hour of it. */
const TENANTS = 100;
/** Calls to the ledger at once, so that a round never fills the connection before the requests. */
const AT_ONCE = 8;
const LEASE_MS = 10_000;
/** A round that comes later than so many intervals after the one before leaves a gap. */
const GAP_INTERVALS = 3;
/** Statements of one round that delete what is too old; the rest is left to the next. */
const PRUNINGS = 20;

/**
 * Reads what every tenant uses, at an interval, by one instance at a time, into the log: that is what
 * byte-hours are summed from. And deletes there what is older than it is kept.
 */
export class UsageMeter {
  private readonly rounds: Rounds;
  private stopped = false;

  constructor(
    private readonly parts: {
      readonly tracker: UsageTracker;
      /** Null: there is none, and nothing is read. */
      readonly log: UsageLog | null;
      readonly lease: UpkeepLease;
      readonly observer: QuotaObserver;
    },
    private readonly options: UsageMeterOptions,
  ) {
    this.rounds = new Rounds(
      options.intervalMs,
      () => this.inTurn(),
      (error) => this.tell(error),
    );
  }

  start(): void {
    if (this.parts.log !== null && this.options.intervalMs > 0) this.rounds.start();
  }

  /** Ends the rounds; resolves when the one under way is over, which is soon. */
  async stop(): Promise<void> {
    this.stopped = true;
    await this.rounds.stop();
  }

  /**
   * Reads all tenants that hold anything, and those that did when they were last read.
   *
   * @throws QuotaUnavailableError when the ledger or the log cannot be asked.
   */
  async readAll(lease?: HeldLease): Promise<void> {
    const { tracker, log } = this.parts;
    if (log === null) return;
    const began = performance.now();
    let cursor: string | null = null;
    do {
      const { tenants, next }: TenantPage = await tracker.tenants(cursor, PAGE);
      if (!(await this.readThese(log, tenants, lease))) return;
      cursor = next;
    } while (cursor !== null);
    // Those that the ledger no longer knows. Readings are of whole seconds, so two more.
    let after: string | undefined = '';
    while (after !== undefined) {
      const unreadSeconds = Math.ceil((performance.now() - began) / 1_000) + 2;
      const gone = await log.holders(unreadSeconds, after, PAGE);
      if (!(await this.readThese(log, gone, lease))) return;
      after = gone.length === PAGE ? gone.at(-1) : undefined;
    }
  }

  private async inTurn(): Promise<RoundResult> {
    const { intervalMs, retentionDays } = this.options;
    const { log } = this.parts;
    const lease = await this.parts.lease.take('usage_meter', LEASE_MS);
    if (lease === null || log === null) return 'done';
    await this.readAll(lease);
    for (let i = 0; i < PRUNINGS && !this.stopped; i += 1) {
      if (!(await log.prune(retentionDays)) || !(await lease.keep(LEASE_MS))) break;
    }
    await (this.stopped ? lease.release() : lease.keep(Math.ceil(intervalMs / 2)));
    return 'done';
  }

  /** False: this instance is to stop, by its own end or since another one has the lease. */
  private async readThese(
    log: UsageLog,
    tenants: readonly string[],
    lease: HeldLease | undefined,
  ): Promise<boolean> {
    const maxGapSeconds = Math.ceil((this.options.intervalMs * GAP_INTERVALS) / 1_000);
    for (let from = 0; from < tenants.length && !this.stopped; from += TENANTS) {
      const some = tenants.slice(from, from + TENANTS);
      await log.addReadings(some, (wanted) => this.usageOf(wanted), maxGapSeconds);
      if (lease !== undefined && !(await lease.keep(LEASE_MS))) return false;
    }
    return !this.stopped;
  }

  private async usageOf(tenants: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const used = new Map<string, number>();
    const queue = tenants.values();
    const lane = async (): Promise<void> => {
      for (const tenant of queue) {
        try {
          used.set(tenant, usedBytes(await this.parts.tracker.read(tenant)));
        } catch (error) {
          // One tenant's trouble stays with it: the next reading that works covers this time too.
          this.tell(error, tenant);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    return used;
  }

  private tell(error: unknown, tenant?: string): void {
    this.parts.observer.emit('error', errorEvent('usage_meter', error, tenant));
  }
}
