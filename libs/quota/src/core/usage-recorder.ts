import { inTime } from './budget';
import { QuotaDecision } from './decision';
import { errorEvent } from './error-event';
import type { CheckEvent, QuotaObserver } from './observer';
import { Rounds } from './rounds';
import { Tally } from './tally';
import type { CacheRequestCounts, UsageCounts, UsageLog } from './usage-log';

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** One request to a cache, when its answer is over. */
export interface CacheRequest {
  readonly tenant: string;
  /** Absent: nothing was looked up. */
  readonly lookup?: 'hit' | 'miss' | undefined;
  /** Bytes of a value in the answer. */
  readonly bytesServed: number;
  readonly durationMs: number;
}

export interface UsageRecorderOptions {
  /** Ms between two writings of what was counted; what a killed process loses at most. */
  readonly flushMs: number;
  /** Ms since 1970; the clock of the process unless given. */
  readonly clock?: () => number;
}

/**
 * Counts decisions and requests of this process by tenant, in memory, and writes them to the log in the
 * background. On the way of a request that is an addition in a Map.
 */
export class UsageRecorder {
  private readonly counts: Tally<UsageCounts>;
  private readonly requests: Tally<CacheRequestCounts>;
  private readonly rounds: Rounds;
  private readonly clock: () => number;

  /** @param log null: there is none, and nothing is counted. */
  constructor(
    private readonly log: UsageLog | null,
    private readonly observer: QuotaObserver,
    { flushMs, clock = Date.now }: UsageRecorderOptions,
  ) {
    this.clock = clock;
    this.counts = new Tally({
      slotOf: ({ hour }) => hour,
      make: newCounts,
      write: async (batch) => this.log?.addCounts(batch),
      onLost: (counts) => this.tellLost(counts),
    });
    this.requests = new Tally({
      slotOf: ({ day }) => day,
      make: newRequests,
      write: async (batch) => this.log?.addCacheRequests(batch),
      onLost: (counts) => this.tellLost(counts),
    });
    this.rounds = new Rounds(
      flushMs,
      async () => {
        await this.flush();
        return 'done';
      },
      (error) => this.observer.emit('error', errorEvent('usage_counts', error)),
    );
  }

  start(): void {
    if (this.log === null) return;
    this.observer.on('check', (event) => this.decided(event));
    this.rounds.start();
  }

  /** Ends the background writing; {@link flush} still works. */
  async stop(): Promise<void> {
    await this.rounds.stop();
  }

  /** Counts a request, into the day its answer was over. */
  cacheRequest({ tenant, lookup, bytesServed, durationMs }: CacheRequest): void {
    if (this.log === null) return;
    const row = this.requests.row(tenant, Math.floor(this.clock() / DAY_MS));
    if (row === undefined) return;
    row.requests += 1;
    if (lookup === 'hit') row.hits += 1;
    if (lookup === 'miss') row.misses += 1;
    row.bytesServed += bytesServed;
    row.totalMs += durationMs;
  }

  /**
   * Writes what was counted until now. The module does so at an interval, and once before the server
   * closes; what is counted after that is yours to write, while the database is still there.
   *
   * @param limitMs how long it is waited for; what is late goes on.
   * @throws QuotaUnavailableError; what was not written is kept and written later, once.
   */
  async flush(limitMs?: number): Promise<void> {
    const flushing = this.flushBoth();
    await (limitMs === undefined ? flushing : inTime('usage_counts', limitMs, flushing));
  }

  private async flushBoth(): Promise<void> {
    const results = await Promise.allSettled([this.counts.flush(), this.requests.flush()]);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  private decided(event: CheckEvent): void {
    const { tenant, decision, mode, bytes, usedBytes, limitBytes } = event;
    const refused = decision === QuotaDecision.REJECT;
    const enforced = mode === 'enforce';
    // Too large for any limit (413): waiting or paying within it would not help.
    if (refused && enforced && bytes > limitBytes) return;
    const row = this.counts.row(tenant, Math.floor(this.clock() / HOUR_MS));
    if (row === undefined) return;
    row.peakBytes = Math.max(row.peakBytes, usedBytes);
    if (refused && enforced) {
      row.refusals += 1;
      return;
    }
    row.writes += 1;
    if (refused) row.shadowRefusals += 1;
    if (decision === QuotaDecision.WARN) row.warnings += 1;
  }

  private tellLost(counts: number): void {
    const cause = `${String(counts)} counts of too many tenants at once`;
    this.observer.emit('error', { operation: 'usage_counts', error: 'overflow', cause });
  }
}

function newCounts(tenant: string, hour: number): UsageCounts {
  return {
    ...{ tenant, hour, peakBytes: 0 },
    ...{ writes: 0, refusals: 0, shadowRefusals: 0, warnings: 0 },
  };
}

function newRequests(tenant: string, day: number): CacheRequestCounts {
  return { tenant, day, requests: 0, hits: 0, misses: 0, bytesServed: 0, totalMs: 0 };
}
