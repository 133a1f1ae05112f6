import type { ClosedLoop } from '../load/closed-loop';
import type { Traffic } from '../load/traffic';
import type { BenchOptions } from '../options';
import type { Progress } from '../report/progress';
import type { Stand } from '../stand/stand';
import type { Subject } from '../stand/subject-process';
import { filledKey } from '../subject/control';
import { variantOf, type Adapter } from '../variants';
import { warmUp } from './closed';
import { interleaved, ratiosToBare } from './rounds';
import { closedSlice, freshTraffic } from './slice';

const SWEPT = ['bare', 'guard-memory', 'guard-redis', 'guard-redis-pipelined'].map(variantOf);
const GUARDS = SWEPT.filter(({ kind }) => kind === 'guard');
const ROUNDS = 3;

/** Copies of quotas in memory are 10,000 unless set; the last sweep of tenants has more tenants. */
const MANY_TENANTS = 200_000;

const TENANTS = [1, 100, 100_000] as const;
const SIZES = [1_024, 102_400, 10_485_760] as const;
/** Entries that a tenant has beforehand. */
export const LEDGERS = [10, 10_000, 1_000_000] as const;

/** One variant at one point of a sweep. */
export interface SweepRow {
  readonly sweep: 'tenants' | 'bytes' | 'entries';
  readonly at: number;
  readonly variant: string;
  readonly perSecond: readonly number[];
  /** To the bare route of the same round; for `entries` to the ledger of 10 of the same round. */
  readonly ratios: readonly number[];
  readonly cpuMicros: readonly number[];
  /** Share of quotas that were found in memory, where it was looked at. */
  readonly cacheHitRate?: number;
  readonly problem?: string;
}

export function sweepSteps(): number {
  const points = TENANTS.length + SIZES.length;
  return (
    ROUNDS * (points * SWEPT.length + LEDGERS.length * GUARDS.length) + GUARDS.length + SWEPT.length
  );
}

/** Whether the number of tenants, the size of entries or that of the ledger changes what a write costs. */
export async function measureSweeps(
  stand: Stand,
  adapter: Adapter,
  options: Pick<BenchOptions, 'seconds'>,
  progress: Progress,
): Promise<SweepRow[]> {
  const subjects = await stand.open(adapter, SWEPT, { quotaCacheMaxTenants: MANY_TENANTS });
  const load = { connections: 32, ms: options.seconds * 1_000 };
  const rows: SweepRow[] = [];
  await warmUp(subjects, progress);
  for (const subject of guardsOf(subjects)) await subject.ask('countCache');
  for (const tenants of TENANTS) {
    const shape = { tenants, keys: tenants === 1 ? 10_000 : 100, bytes: 1_024 };
    const point = { sweep: 'tenants' as const, at: tenants };
    const swept = await sweepPoint(subjects, point, shape, load, progress);
    rows.push(...(tenants === 100 ? await withHitRates(swept, subjects) : swept));
  }
  for (const bytes of SIZES) {
    const shape = { tenants: 100, keys: 100, bytes };
    const width = bytes > 1_048_576 ? { ...load, connections: 8 } : load;
    rows.push(
      ...(await sweepPoint(subjects, { sweep: 'bytes', at: bytes }, shape, width, progress)),
    );
  }
  for (const subject of guardsOf(subjects)) {
    rows.push(...(await sweepLedgers(subject, load, progress)));
  }
  await stand.close();
  return rows;
}

function guardsOf(subjects: readonly Subject[]): Subject[] {
  return subjects.filter(({ variant }) => variant.kind === 'guard');
}

async function withHitRates(
  rows: readonly SweepRow[],
  subjects: readonly Subject[],
): Promise<SweepRow[]> {
  const found: SweepRow[] = [];
  for (const row of rows) {
    const subject = guardsOf(subjects).find(({ settings }) => settings.variant === row.variant);
    const counts = await subject?.ask('cacheCounts');
    const cacheHitRate = counts && counts.hits / (counts.hits + counts.misses);
    found.push(cacheHitRate === undefined ? row : { ...row, cacheHitRate });
  }
  return found;
}

async function sweepPoint(
  subjects: readonly Subject[],
  point: Pick<SweepRow, 'sweep' | 'at'>,
  shape: { tenants: number; keys: number; bytes: number },
  load: ClosedLoop,
  progress: Progress,
): Promise<SweepRow[]> {
  const rounds = await interleaved(subjects, ROUNDS, progress, (subject) =>
    closedSlice(subject, freshTraffic(shape), load),
  );
  return [...rounds].map(([variant, { rounds: found, problem }]) => ({
    ...point,
    variant,
    perSecond: found.map(({ result }) => result.perSecond),
    ratios: ratiosToBare(rounds, variant, ({ result }) => result.perSecond),
    cpuMicros: found.map(({ cpuMicros }) => cpuMicros),
    ...(problem !== undefined && { problem }),
  }));
}

/** Overwrites the same ten keys, in a tenant that has so many: the same work, beside more or less. */
async function sweepLedgers(
  subject: Subject,
  load: ClosedLoop,
  progress: Progress,
): Promise<SweepRow[]> {
  const { variant } = subject.settings;
  progress.step(`${variant}, filling the ledgers`);
  for (const entries of LEDGERS) {
    const tenant = `ledger-${entries}-0`;
    await subject.ask('fill', { tenant, from: 0, to: entries, bytes: 1_000 });
  }
  const found = new Map<number, { perSecond: number[]; cpuMicros: number[] }>(
    LEDGERS.map((entries) => [entries, { perSecond: [], cpuMicros: [] }]),
  );
  for (let round = 0; round < ROUNDS; round++) {
    for (const entries of LEDGERS) {
      progress.step(`${variant}, ${entries} entries, round ${round + 1} of ${ROUNDS}`);
      const traffic: Traffic = {
        ...{ tenants: 1, keys: LEDGERS[0], bytes: 1_000, tenantPrefix: `ledger-${entries}` },
        keyName: filledKey,
      };
      const slice = await closedSlice(subject, traffic, load, { grows: false });
      found.get(entries)?.perSecond.push(slice.result.perSecond);
      found.get(entries)?.cpuMicros.push(slice.cpuMicros);
    }
  }
  const few = found.get(LEDGERS[0])?.perSecond ?? [];
  return [...found].map(([at, { perSecond, cpuMicros }]) => ({
    ...{ sweep: 'entries' as const, at, variant, perSecond, cpuMicros },
    ratios: perSecond.map((speed, round) => speed / (few[round] ?? NaN)),
  }));
}
