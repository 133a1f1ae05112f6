import type { BenchOptions } from '../options';
import type { Progress } from '../report/progress';
import type { Subject } from '../stand/subject-process';
import { percentile } from '../statistics';
import type { Adapter } from '../variants';
import { SHAPE } from './closed';
import { interleaved } from './rounds';
import { freshTraffic, openSlice } from './slice';

export const RATE = 1_000;
export const PERCENTS = [50, 99, 99.9] as const;

/** One variant's rounds of the open loop; latencies in ms, from when a request was to be sent. */
export interface OpenRow {
  readonly adapter: Adapter;
  readonly variant: string;
  readonly p50: readonly number[];
  readonly p99: readonly number[];
  readonly p999: readonly number[];
  /** Over all rounds together, since one round has few requests beyond its p99.9. */
  readonly pooledP999: number;
  /** p99 of how late the generator itself was. */
  readonly latenessP99: readonly number[];
  readonly problem?: string;
}

export function openSteps(options: BenchOptions): number {
  return options.rounds * options.variants.length;
}

/** Latency of every variant at 1,000 requests a second. Throws as the closed loop does. */
export async function measureOpen(
  subjects: readonly Subject[],
  options: BenchOptions,
  progress: Progress,
): Promise<OpenRow[]> {
  const load = { perSecond: RATE, ms: options.openSeconds * 1_000 };
  const rounds = await interleaved(subjects, options.rounds, progress, async (subject) => {
    const { result } = await openSlice(subject, freshTraffic(SHAPE), load);
    return result;
  });
  const rows: OpenRow[] = [];
  for (const [variant, { rounds: found, problem }] of rounds) {
    const each = (percent: number): number[] =>
      found.map(({ latencies }) => percentile(latencies, percent));
    rows.push({
      adapter: subjects[0]?.settings.adapter ?? 'express',
      variant,
      ...{ p50: each(50), p99: each(99), p999: each(99.9) },
      pooledP999: percentile(
        found.flatMap(({ latencies }) => latencies),
        99.9,
      ),
      latenessP99: found.map(({ lateness }) => percentile(lateness, 99)),
      ...(problem !== undefined && { problem }),
    });
  }
  return rows;
}
