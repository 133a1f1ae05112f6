import type { Redis } from 'ioredis';
import type { Progress } from '../report/progress';
import type { Stand } from '../stand/stand';
import type { Subject } from '../stand/subject-process';
import { variantOf } from '../variants';

const ROUNDS = 5;
const MS = 1_000;
const WIDTH = 64;
const STORES = [
  'guard-memory',
  'guard-redis',
  'guard-redis-pipelined',
  'guard-banked',
  'guard-postgres',
];
const SHAPE = { keys: 100, bytes: 1_024 };

/** Writes counted one by one, to see what one allocates before the first collection. */
const ALLOCATING = 2_000;
const NO_COLLECTION = ['--max-semi-space-size=256', '--min-semi-space-size=256', '--expose-gc'];

/** What Redis was asked for one write, by INFO. */
export interface RedisCost {
  readonly commands: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
  /** µs of the server's own time in commands. */
  readonly micros: number;
}

/** Reserve and commit by a process, without HTTP. */
export interface BelowRow {
  readonly variant: string;
  readonly tenants: number;
  /** Writes, each a reserve and a commit. */
  readonly perSecond: readonly number[];
  readonly cpuMicros: readonly number[];
  readonly redis?: RedisCost;
  /** Bytes of the heap that one write allocates, from one at a time. */
  readonly allocatedBytes?: number;
  readonly problem?: string;
}

export function belowSteps(): number {
  return STORES.length * (ROUNDS * 2 + 1);
}

/** Of a hot tenant, and spread over 100. */
export async function measureBelow(stand: Stand, progress: Progress): Promise<BelowRow[]> {
  const subjects = await stand.open('fastify', STORES.map(variantOf), { flags: NO_COLLECTION });
  const rows = new Map<string, BelowRow & { perSecond: number[]; cpuMicros: number[] }>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const subject of subjects) {
      for (const tenants of [1, 100]) {
        const { variant } = subject.settings;
        progress.step(
          `below HTTP: ${variant}, ${tenants} tenants, round ${round + 1} of ${ROUNDS}`,
        );
        const key = `${variant} ${tenants}`;
        const row = rows.get(key) ?? { variant, tenants, perSecond: [], cpuMicros: [] };
        rows.set(key, await poundOnce(stand.probe, subject, row));
      }
    }
  }
  for (const subject of subjects) {
    progress.step(`below HTTP: ${subject.settings.variant}, allocations`);
    const key = `${subject.settings.variant} 1`;
    const row = rows.get(key);
    if (row === undefined || row.problem !== undefined) continue;
    const allocatedBytes = await allocated(subject);
    if (allocatedBytes !== undefined) rows.set(key, { ...row, allocatedBytes });
  }
  await stand.close();
  return [...rows.values()];
}

async function poundOnce<R extends BelowRow & { perSecond: number[]; cpuMicros: number[] }>(
  probe: Redis,
  subject: Subject,
  row: R,
): Promise<R> {
  if (row.problem !== undefined) return row;
  const before = await redisTotals(probe);
  try {
    const pounding = { ...SHAPE, width: WIDTH, tenants: row.tenants, maxMs: MS, maxWrites: 1e9 };
    const { writes, ms, cpuMicros } = await subject.ask('pound', pounding);
    row.perSecond.push((writes / ms) * 1_000);
    row.cpuMicros.push(cpuMicros / writes);
    if (subject.variant.store !== 'redis') return row;
    const after = await redisTotals(probe);
    return { ...row, redis: costOf(before, after, writes) };
  } catch (error) {
    return { ...row, perSecond: [], cpuMicros: [], problem: String(error) };
  }
}

/** Undefined when the heap was collected meanwhile, so that nothing can be said. */
async function allocated(subject: Subject): Promise<number | undefined> {
  const pounding = { ...SHAPE, width: 1, tenants: 1, maxMs: 20_000, maxWrites: ALLOCATING };
  await subject.ask('collected');
  const before = await subject.ask('spent');
  const { writes, heapGrownBytes } = await subject.ask('pound', pounding);
  const after = await subject.ask('spent');
  return after.collections === before.collections ? heapGrownBytes / writes : undefined;
}

async function redisTotals(probe: Redis): Promise<RedisCost> {
  const [stats, commands] = await Promise.all([probe.info('stats'), probe.info('commandstats')]);
  const field = (name: string): number => Number(new RegExp(`${name}:(\\d+)`).exec(stats)?.[1]);
  const totals = { commands: 0, micros: 0 };
  // Scripts alone: what they call within Redis is part of their own time, and no command of a client's.
  for (const [, name, calls, micros] of commands.matchAll(
    /cmdstat_(\S+):calls=(\d+),usec=(\d+)/g,
  )) {
    if (name?.startsWith('eval') !== true) continue;
    totals.commands += Number(calls);
    totals.micros += Number(micros);
  }
  return {
    ...totals,
    inputBytes: field('total_net_input_bytes'),
    outputBytes: field('total_net_output_bytes'),
  };
}

function costOf(before: RedisCost, after: RedisCost, writes: number): RedisCost {
  return {
    commands: (after.commands - before.commands) / writes,
    micros: (after.micros - before.micros) / writes,
    inputBytes: (after.inputBytes - before.inputBytes) / writes,
    outputBytes: (after.outputBytes - before.outputBytes) / writes,
  };
}
