import { QuotaDecision } from './decision';
import { QuotaUnavailableError } from './errors';
import { QuotaObserver, type CheckEvent } from './observer';
import { Tally } from './tally';
import type { CacheRequestCounts, CountBatch, UsageCounts, UsageLog } from './usage-log';
import { UsageRecorder } from './usage-recorder';

const HOUR_MS = 3_600_000;

/** Keeps what comes, and answers as it is told. */
class Received {
  readonly counts: CountBatch<UsageCounts>[] = [];
  readonly requests: CountBatch<CacheRequestCounts>[] = [];
  fails = false;

  private answer(): Promise<void> {
    return this.fails
      ? Promise.reject(new QuotaUnavailableError('usage_counts', { applied: 'unknown' }))
      : Promise.resolve();
  }

  readonly log = {
    addCounts: (batch: CountBatch<UsageCounts>) => {
      this.counts.push(structuredClone(batch));
      return this.answer();
    },
    addCacheRequests: (batch: CountBatch<CacheRequestCounts>) => {
      this.requests.push(structuredClone(batch));
      return this.answer();
    },
  } as unknown as UsageLog;
}

describe('UsageRecorder', () => {
  let received: Received;
  let observer: QuotaObserver;
  let recorder: UsageRecorder;
  let now: number;

  beforeEach(() => {
    received = new Received();
    observer = new QuotaObserver();
    now = 10 * HOUR_MS;
    recorder = new UsageRecorder(received.log, observer, {
      flushMs: 3_600_000,
      clock: () => now,
    });
    recorder.start();
  });
  afterEach(() => recorder.stop());

  const check = (more: Partial<CheckEvent> = {}): void =>
    observer.emit('check', {
      ...{ tenant: 'acme', bytes: 10, usedBytes: 10, limitBytes: 100, durationMs: 1 },
      ...{ decision: QuotaDecision.ALLOW, mode: 'enforce', source: 'memory' },
      ...more,
    });

  it('counts decisions by what became of the write', async () => {
    check({ usedBytes: 70 });
    check({ usedBytes: 95, decision: QuotaDecision.WARN });
    check({ usedBytes: 95, decision: QuotaDecision.REJECT });
    check({ usedBytes: 120, decision: QuotaDecision.REJECT, mode: 'shadow' });
    // 413: larger than the hard limit.
    check({ bytes: 101, decision: QuotaDecision.REJECT });
    await recorder.flush();
    expect(received.counts.map(({ number, rows }) => ({ number, rows }))).toEqual([
      {
        number: 1,
        rows: [
          {
            ...{ tenant: 'acme', hour: 10, peakBytes: 120 },
            ...{ writes: 3, refusals: 1, shadowRefusals: 1, warnings: 1 },
          },
        ],
      },
    ]);
  });

  it('sends a batch without an answer again as it was, and what came meanwhile after it', async () => {
    check();
    received.fails = true;
    await expect(recorder.flush()).rejects.toThrow(QuotaUnavailableError);
    check();
    check({ tenant: 'other' });
    await expect(recorder.flush()).rejects.toThrow(QuotaUnavailableError);
    received.fails = false;
    await recorder.flush();
    await recorder.flush();
    const [first, again, third, fourth, ...rest] = received.counts;
    expect(again).toEqual(first);
    expect(third).toEqual(first);
    expect(fourth).toMatchObject({ writer: first?.writer, number: 2 });
    expect(fourth?.rows).toMatchObject([
      { tenant: 'acme', writes: 1 },
      { tenant: 'other', writes: 1 },
    ]);
    expect(rest).toEqual([]);
  });

  it('keeps the hours apart that go by during an outage', async () => {
    check();
    now += HOUR_MS;
    check();
    check();
    await recorder.flush();
    const rows = received.counts.flatMap((batch) => batch.rows);
    expect(rows.map(({ hour, writes }) => [hour, writes])).toEqual([
      [10, 1],
      [11, 2],
    ]);
  });

  it('counts requests by the day', async () => {
    recorder.cacheRequest({ tenant: 'acme', lookup: 'hit', bytesServed: 5, durationMs: 2 });
    recorder.cacheRequest({ tenant: 'acme', lookup: 'miss', bytesServed: 0, durationMs: 4 });
    recorder.cacheRequest({ tenant: 'acme', bytesServed: 0, durationMs: 6 });
    now += 24 * HOUR_MS;
    recorder.cacheRequest({ tenant: 'acme', bytesServed: 0, durationMs: 1 });
    await recorder.flush();
    expect(received.requests[0]?.rows).toEqual([
      { tenant: 'acme', day: 0, requests: 3, hits: 1, misses: 1, bytesServed: 5, totalMs: 12 },
      { tenant: 'acme', day: 1, requests: 1, hits: 0, misses: 0, bytesServed: 0, totalMs: 1 },
    ]);
  });

  it('counts nothing where there is no log', async () => {
    const idle = new UsageRecorder(null, observer, { flushMs: 1 });
    idle.start();
    check();
    idle.cacheRequest({ tenant: 'acme', bytesServed: 0, durationMs: 1 });
    await idle.flush();
    await idle.stop();
    expect(received.counts).toEqual([]);
  });
});

describe('Tally', () => {
  it('is bounded: what is too much is not counted, and told of once', async () => {
    const written: number[] = [];
    const lost: number[] = [];
    const tally = new Tally<{ tenant: string; slot: number; n: number }>({
      slotOf: ({ slot }) => slot,
      make: (tenant, slot) => ({ tenant, slot, n: 0 }),
      write: async ({ rows }) => void written.push(rows.length),
      onLost: (counts) => lost.push(counts),
      maxRows: 1_500,
    });
    for (let i = 0; i < 1_600; i += 1) tally.row(`t-${String(i)}`, 0);
    expect(tally.row('t-0', 1)).toBeUndefined();
    expect(tally.row('t-0', 0)).toBeDefined();
    await tally.flush();
    await tally.flush();
    expect(written).toEqual([1_000, 500]);
    expect(lost).toEqual([101]);
    expect(tally.row('t-0', 1)).toBeDefined();
  });
});
