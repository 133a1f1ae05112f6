import { QuotaChecker, QuotaObserver, QuotaUnavailableError, UsageTracker } from '@app/quota';
import type { INestApplication } from '@nestjs/common';
import { PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { pound, type Pounding, type PoundResult } from './pound';

/** What a process has spent so far. */
export interface Spent {
  /** µs of processor time, user and system, of all threads. */
  readonly cpuMicros: number;
  readonly heapBytes: number;
  readonly collections: number;
}

/** Entries to put into a tenant's ledger past the checker. */
export interface Filling {
  readonly tenant: string;
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
}

/** What a subject does on request of the bench, beside serving. */
export interface SubjectCommands {
  spent(): Spent;
  /** Committed bytes of these tenants together, and what is still reserved. */
  usage(tenants: readonly string[]): Promise<{ committed: number; reserved: number }>;
  fill(filling: Filling): Promise<void>;
  pound(pounding: Pounding): Promise<PoundResult>;
  /** Bytes of the heap after a full collection; needs --expose-gc. */
  collected(): number;
  /** From here on counts how quotas were found. */
  countCache(): void;
  cacheCounts(): { readonly hits: number; readonly misses: number };
}

/** Small enough for the deadline of one call, on a busy machine too. */
const BATCH = 200;
const ATTEMPTS = 10;

/** Keys of filled entries, all of one length. */
export function filledKey(n: number): string {
  return `entry-${String(n).padStart(9, '0')}`;
}

export function commandsOf(app: INestApplication): SubjectCommands {
  let collections = 0;
  new PerformanceObserver((list) => (collections += list.getEntries().length)).observe({
    entryTypes: ['gc'],
  });
  const cache = { hits: 0, misses: 0 };
  return {
    spent() {
      const { user, system } = process.cpuUsage();
      return { cpuMicros: user + system, heapBytes: process.memoryUsage().heapUsed, collections };
    },
    async usage(tenants) {
      const tracker = app.get(UsageTracker);
      const usages = await Promise.all(tenants.map((tenant) => tracker.read(tenant)));
      return {
        committed: usages.reduce((sum, usage) => sum + usage.committedBytes, 0),
        reserved: usages.reduce((sum, usage) => sum + usage.reservedBytes, 0),
      };
    },
    fill: (filling) => fill(app.get(UsageTracker), filling),
    pound: (pounding) => pound(app.get(QuotaChecker), pounding),
    collected() {
      if (globalThis.gc === undefined) throw new Error('Start the subject with --expose-gc.');
      globalThis.gc();
      return process.memoryUsage().heapUsed;
    },
    countCache() {
      app.get(QuotaObserver).on('cache', ({ tier, hit }) => {
        if (tier === 'memory') cache[hit ? 'hits' : 'misses'] += 1;
      });
    },
    cacheCounts: () => ({ ...cache }),
  };
}

/** @throws Error unless the ledger has grown by all of them. */
async function fill(tracker: UsageTracker, filling: Filling): Promise<void> {
  const { tenant, from, to, bytes } = filling;
  const before = await tracker.read(tenant);
  for (let at = from; at < to; at += BATCH) {
    const length = Math.min(BATCH, to - at);
    const keys = Array.from({ length }, (_, i) => filledKey(at + i));
    await patiently(() =>
      tracker.correct(
        tenant,
        keys.map((key) => ({ key, bytes })),
      ),
    );
  }
  const grown = (await tracker.read(tenant)).committedBytes - before.committedBytes;
  const expected = (to - from) * bytes;
  if (grown !== expected) throw new Error(`Filled in ${grown} bytes of ${expected}.`);
}

/** Again when no answer came in time: a correction that was applied already changes nothing. */
async function patiently(work: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await work();
      return;
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError) || attempt === ATTEMPTS) throw error;
      await sleep(100);
    }
  }
}
