import { startPostgres, startRedis, type PostgresServer, type RedisServer } from '../../support';
import { MODES } from './fault-link';
import { migratedDatabases } from './databases';
import { Lane, type StoreName } from './lane';
import { OPERATIONS, type Operation } from './operations';
import { baseline, runCase, type Baseline, type Case } from './run-case';

/** Instances that work at once, each at one case at a time. */
const LANES = 8;
const STORES: readonly StoreName[] = ['redis', 'postgres'];
/** Development: only operations with this in their name. */
const only = process.env['NTH_ONLY'] ?? '';

const chosen = OPERATIONS.filter(({ name }) => name.includes(only));

let redis: RedisServer;
let postgres: PostgresServer;
const lanes: Lane[] = [];
const baselines = new Map<Operation, Baseline>();
const ran = new Map<Operation, number>();
const failures = new Map<Operation, string[]>();

/** Every lane takes the next piece of work as soon as it is free. */
async function share<T>(
  work: readonly T[],
  run: (lane: Lane, item: T) => Promise<void>,
): Promise<void> {
  const queue = work.values();
  await Promise.all(
    lanes.map(async (lane) => {
      for (const item of queue) await run(lane, item);
    }),
  );
}

function casesOf(operation: Operation): Case[] {
  const { answer, commands } = baselines.get(operation)!;
  return STORES.flatMap((store) =>
    Array.from({ length: commands[store] }, (_, i) => i + 1).flatMap((n) =>
      MODES.map((mode, i) => ({ operation, store, fault: { n, mode, error: n + i }, answer })),
    ),
  );
}

async function tell(lane: Lane, item: Case): Promise<void> {
  const { operation, store, fault } = item;
  ran.set(operation, (ran.get(operation) ?? 0) + 1);
  try {
    await runCase(lane, item);
  } catch (error) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const list = failures.get(operation) ?? [];
    failures.set(operation, [...list, `${store} ${fault.n} ${fault.mode}: ${what}`]);
  }
}

beforeAll(async () => {
  [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
  for (const url of await migratedDatabases(postgres, LANES)) {
    lanes.push(await Lane.start(redis, url, true));
  }
  // The first time has more to do, such as the loading of scripts.
  for (const operation of chosen) await baseline(lanes[0]!, operation);
  await share(chosen, async (lane, operation) => {
    baselines.set(operation, await baseline(lane, operation));
  });
  await share(chosen.flatMap(casesOf), tell);
}, 300_000);

const began = performance.now();
afterAll(async () => {
  process.stderr.write(`ran ${Math.round(performance.now() - began)} ms\n`);
  const rows = chosen.map((operation) => {
    const { redis: r = 0, postgres: p = 0 } = baselines.get(operation)?.commands ?? {};
    return `${operation.name.padEnd(26)} redis ${r}  postgres ${p}  cases ${ran.get(operation) ?? 0}`;
  });
  process.stderr.write(`${rows.join('\n')}\n`);
  await Promise.all(lanes.map((lane) => lane.close()));
  await Promise.all([redis.stop(), postgres.stop()]);
});

describe.each(chosen.map((operation) => [operation.name, operation] as const))(
  '%s',
  (_, operation) => {
    it('sends commands that can fail', () => {
      const { redis: r, postgres: p } = baselines.get(operation)!.commands;
      expect(r + p).toBeGreaterThan(0);
      expect(ran.get(operation)).toBe((r + p) * MODES.length);
    });

    it('survives the failure of each', () => {
      expect(failures.get(operation) ?? []).toEqual([]);
    });
  },
);
