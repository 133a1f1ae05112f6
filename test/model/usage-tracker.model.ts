import fc from 'fast-check';
import { carryOut, plans, type Plan } from './steps';
import { Inconclusive, World, type ModelHarness } from './world';

export type { ModelHarness } from './world';

class Step implements fc.AsyncCommand<World, undefined> {
  constructor(private readonly plan: Plan) {}

  check(): boolean {
    return true;
  }

  run(world: World): Promise<void> {
    return carryOut(world, this.plan);
  }

  toString(): string {
    const { do: name, ...fields } = this.plan;
    return `${name} ${JSON.stringify(fields)}`;
  }
}

export interface ModelOptions {
  readonly keepsValues: boolean;
  readonly runs: number;
  readonly timeoutMs?: number;
  readonly maxSteps?: number;
}

/**
 * Random lives of a tenant on the tracker and on the model of docs/ledger.md, compared after every
 * step. MODEL_SEED and MODEL_RUNS override the seed and the number of lives; a failure prints the
 * seed, the path and the shortest life found, and MODEL_SEED with MODEL_PATH plays it again.
 */
export function describeLedgerModel(
  name: string,
  makeHarness: () => Promise<ModelHarness> | ModelHarness,
  options: ModelOptions,
): void {
  const seed = Number(process.env['MODEL_SEED'] ?? Date.now() % 2 ** 31);
  const runs = Number(process.env['MODEL_RUNS'] ?? options.runs);
  const path = process.env['MODEL_PATH'];

  describe(`${name} does as the model of the ledger`, () => {
    let harness: ModelHarness;
    beforeAll(async () => {
      harness = await makeHarness();
      process.stdout.write(`${name}: MODEL_SEED=${seed} MODEL_RUNS=${runs}\n`);
    });
    afterAll(() => harness.close?.());

    it(
      `for ${runs} random lives`,
      async () => {
        const steps = fc.commands([plans(options.keepsValues).map((plan) => new Step(plan))], {
          maxCommands: options.maxSteps ?? 60,
          size: 'max',
        });
        let inconclusive = 0;
        const life = fc.asyncProperty(steps, async (commands) => {
          const world = new World(harness, options.keepsValues);
          try {
            await fc.asyncModelRun(() => ({ model: world, real: undefined }), commands);
            await world.finish();
          } catch (error) {
            if (!(error instanceof Inconclusive)) throw error;
            inconclusive++;
          }
        });
        await fc.assert(life, { seed, numRuns: runs, ...(path ? { path } : {}) });
        // A machine so slow that most lives tell nothing must not pass for a proof.
        expect(inconclusive).toBeLessThanOrEqual(runs / 2);
      },
      options.timeoutMs ?? 180_000,
    );
  });
}
