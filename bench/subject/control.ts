import { QuotaChecker, QuotaObserver, UsageTracker } from '@app/quota';
import type { INestApplication } from '@nestjs/common';
import { PerformanceObserver } from 'node:perf_hooks';
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

const BATCH = 1_000;

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

async function fill(tracker: UsageTracker, filling: Filling): Promise<void> {
  const { tenant, from, to, bytes } = filling;
  for (let at = from; at < to; at += BATCH) {
    const length = Math.min(BATCH, to - at);
    const corrections = Array.from({ length }, (_, i) => ({ key: filledKey(at + i), bytes }));
    const { applied } = await tracker.correct(tenant, corrections);
    if (applied !== length) throw new Error(`Of ${length} entries ${applied} were filled in.`);
  }
}
