import { NotServedError } from '../load/send';
import type { BenchOptions } from '../options';
import type { Progress } from '../report/progress';
import type { Subject } from '../stand/subject-process';
import { closedSlice, freshTraffic, type Slice } from './slice';
import type { ClosedResult } from '../load/closed-loop';
import { interleaved, ratiosToBare } from './rounds';
import type { Adapter } from '../variants';

export const CONNECTIONS = [32, 256] as const;

/** Of each write, unless a sweep says otherwise. */
export const SHAPE = { tenants: 100, keys: 100, bytes: 1_024 };

/** One variant's rounds of the closed loop. */
export interface ClosedRow {
  readonly adapter: Adapter;
  readonly variant: string;
  readonly connections: number;
  readonly perSecond: readonly number[];
  /** To the bare route of the same round. */
  readonly ratios: readonly number[];
  /** µs of the subject's processor time for each request. */
  readonly cpuMicros: readonly number[];
  readonly problem?: string;
}

export function closedSteps(options: BenchOptions): number {
  return CONNECTIONS.length * options.rounds * options.variants.length;
}

/** Throughput of every variant. Throws when a request was not answered 200, or a ledger is wrong. */
export async function measureClosed(
  subjects: readonly Subject[],
  options: Pick<BenchOptions, 'rounds' | 'seconds'>,
  progress: Progress,
  connections: readonly number[] = CONNECTIONS,
): Promise<ClosedRow[]> {
  const rows: ClosedRow[] = [];
  for (const width of connections) {
    const load = { connections: width, ms: options.seconds * 1_000 };
    const rounds = await interleaved(subjects, options.rounds, progress, (subject) =>
      closedSlice(subject, freshTraffic(SHAPE), load),
    );
    const speed = ({ result }: Slice<ClosedResult>): number => result.perSecond;
    for (const [variant, { rounds: found, problem }] of rounds) {
      rows.push({
        adapter: subjects[0]?.settings.adapter ?? 'express',
        ...{ variant, connections: width },
        perSecond: found.map(speed),
        ratios: ratiosToBare(rounds, variant, speed),
        cpuMicros: found.map(({ cpuMicros }) => cpuMicros),
        ...(problem !== undefined && { problem }),
      });
    }
  }
  return rows;
}

/**
 * So that the first round is not slower for being the first. A cold variant may answer with an error;
 * whether it does when it is warm, the rounds will tell.
 */
export async function warmUp(
  subjects: readonly Subject[],
  progress: Progress,
  ms = 1_500,
): Promise<void> {
  for (const subject of subjects) {
    progress.step(`${subject.settings.adapter} ${subject.settings.variant}, warm-up`);
    for (const connections of [4, 32]) {
      try {
        await closedSlice(subject, freshTraffic(SHAPE), { connections, ms: ms / 2 });
      } catch (error) {
        if (!(error instanceof NotServedError)) throw error;
      }
    }
  }
}
