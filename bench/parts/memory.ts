import type { Progress } from '../report/progress';
import type { Stand } from '../stand/stand';
import type { Subject } from '../stand/subject-process';
import { filledKey } from '../subject/control';
import { variantOf } from '../variants';

const ENTRIES = 100_000;
const TENANTS = 2_000;

/** What ledgers take, in bytes. */
export interface MemoryRow {
  readonly store: 'redis' | 'node';
  /** Of one entry of a tenant with 100,000, its key's own bytes subtracted. */
  readonly perEntry: number;
  readonly keyBytes: number;
  /** Of a tenant with one entry. */
  readonly perTenant: number;
}

export function memorySteps(): number {
  return 2;
}

/** Memory of the ledgers in Redis, by INFO, and in Node, by the heap after a collection. */
export async function measureMemory(stand: Stand, progress: Progress): Promise<MemoryRow[]> {
  const flags = ['--expose-gc'];
  const names = ['guard-redis', 'guard-memory'] as const;
  const [redis, node] = await stand.open('fastify', names.map(variantOf), { flags });
  if (redis === undefined || node === undefined) throw new Error('A subject is missing.');
  const usedMemory = async (): Promise<number> =>
    Number(/used_memory:(\d+)/.exec(await stand.probe.info('memory'))?.[1]);
  progress.step('memory in Redis');
  const inRedis = await grown(redis, usedMemory);
  progress.step('memory in Node');
  const inNode = await grown(node, () => node.ask('collected'));
  await stand.close();
  return [
    { store: 'redis', ...inRedis },
    { store: 'node', ...inNode },
  ];
}

async function grown(
  subject: Subject,
  used: () => Promise<number>,
): Promise<Omit<MemoryRow, 'store'>> {
  const keyBytes = filledKey(0).length;
  const start = await used();
  await subject.ask('fill', { tenant: 'large', from: 0, to: ENTRIES, bytes: 1_000 });
  const filled = await used();
  for (let i = 0; i < TENANTS; i++) {
    await subject.ask('fill', { tenant: `small-${i}`, from: 0, to: 1, bytes: 1_000 });
  }
  return {
    keyBytes,
    perEntry: (filled - start) / ENTRIES - keyBytes,
    perTenant: ((await used()) - filled) / TENANTS,
  };
}
