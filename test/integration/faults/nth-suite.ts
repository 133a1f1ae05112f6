import { startPostgres, startRedis, type PostgresServer, type RedisServer } from '../../support';
import { migratedDatabases } from './databases';
import { MODES } from './fault-link';
import { Lane, type StoreName } from './lane';
import { baseline, runCase, type Baseline, type Case } from './run-case';
import type { Operation } from './operation';

/** Instances that work at once, each at one case at a time. */
const LANES = 6;
const STORES: readonly StoreName[] = ['redis', 'postgres'];

/** What became of all cases of some operations. */
class Trial {
  readonly lanes: Lane[] = [];
  readonly baselines = new Map<Operation, Baseline>();
  readonly ran = new Map<Operation, number>();
  readonly failures = new Map<Operation, string[]>();

  constructor(private readonly operations: readonly Operation[]) {}

  async run(): Promise<void> {
    // The first time has more to do, such as the loading of scripts, and may take too long for it.
    await this.share(this.operations, async (lane, operation) => {
      await baseline(lane, operation).catch(() => undefined);
    });
    await this.share(this.operations, async (lane, operation) => {
      this.baselines.set(operation, await baseline(lane, operation));
    });
    await this.share(
      this.operations.flatMap((o) => this.casesOf(o)),
      (lane, item) => this.runOne(lane, item),
    );
  }

  commandsOf(operation: Operation): Readonly<Record<StoreName, number>> {
    return this.baselines.get(operation)?.commands ?? { redis: 0, postgres: 0 };
  }

  /** How many commands each operation sends, and how many cases that made. */
  table(): string {
    const row = (operation: Operation): string => {
      const { redis, postgres } = this.commandsOf(operation);
      const cases = this.ran.get(operation) ?? 0;
      return `${operation.name.padEnd(26)} redis ${redis}, postgres ${postgres}: ${cases} cases`;
    };
    return this.operations.map((operation) => `${row(operation)}\n`).join('');
  }

  /** Every lane takes the next piece of work as soon as it is free. */
  private async share<T>(
    work: readonly T[],
    run: (lane: Lane, item: T) => Promise<void>,
  ): Promise<void> {
    const queue = work.values();
    const lanes = this.lanes.map(async (lane) => {
      for (const item of queue) await run(lane, item);
    });
    await Promise.all(lanes);
  }

  private casesOf(operation: Operation): Case[] {
    const { answer, commands } = this.baselines.get(operation)!;
    return STORES.flatMap((store) =>
      Array.from({ length: commands[store] }, (_, i) => i + 1).flatMap((n) =>
        MODES.map((mode) => {
          // Each of a store's errors comes by turns.
          const error = n + this.operations.indexOf(operation);
          return { operation, store, fault: { n, mode, error }, answer };
        }),
      ),
    );
  }

  private async runOne(lane: Lane, item: Case): Promise<void> {
    const { operation, store, fault } = item;
    this.ran.set(operation, (this.ran.get(operation) ?? 0) + 1);
    try {
      await runCase(lane, item);
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      const list = this.failures.get(operation) ?? [];
      this.failures.set(operation, [...list, `${store} ${fault.n} ${fault.mode}: ${what}`]);
    }
  }
}

/** Lets every command of every operation fail in every way, and looks at what becomes of it. */
export function describeEachCommand(
  operations: readonly Operation[],
  { banked }: { banked: boolean },
): void {
  const trial = new Trial(operations);
  let redis: RedisServer;
  let postgres: PostgresServer;

  beforeAll(async () => {
    [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
    for (const url of await migratedDatabases(postgres, LANES)) {
      trial.lanes.push(await Lane.start(redis, url, banked));
    }
    await trial.run();
  }, 300_000);

  afterAll(async () => {
    process.stderr.write(trial.table());
    await Promise.all(trial.lanes.map((lane) => lane.close()));
    await Promise.all([redis.stop(), postgres.stop()]);
  });

  describe.each(operations.map((o) => [o.name, o] as const))('%s', (_, operation) => {
    it('sends commands that can fail', () => {
      const { redis: one, postgres: other } = trial.commandsOf(operation);
      expect(one + other).toBeGreaterThan(0);
      expect(trial.ran.get(operation)).toBe((one + other) * MODES.length);
    });

    it('survives the failure of each', () => {
      expect(trial.failures.get(operation) ?? []).toEqual([]);
    });
  });
}
