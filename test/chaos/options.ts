import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';

export type Store = 'redis' | 'postgres';

export interface Options {
  /** Of load, over all stores together. */
  readonly seconds: number;
  readonly seed: number;
  readonly stores: readonly Store[];
  /** Kinds of faults; null: all. */
  readonly faults: readonly string[] | null;
  readonly workers: number;
  /** Requests a second, over all workers, at most. */
  readonly rate: number;
  /** Slowest answer of a small request that is no violation; 0: it is only reported. */
  readonly slowestMs: number;
  /** File for the report. */
  readonly json: string | null;
  /** Folder for the logs of the application's processes. */
  readonly logs: string | null;
}

export const DEFAULTS = { seconds: 60, workers: 20, rate: 200 };

export class UsageError extends Error {}

export const USAGE = `npm run test:chaos -- [options]

  --seconds N        seconds of load, over all stores together (${DEFAULTS.seconds})
  --seed S           0 to 4294967295; the plan of faults depends on it alone (random)
  --store WHICH      redis, postgres or both (both)
  --faults LIST      kinds of faults separated by commas, all or none (all)
  --workers N        clients (${DEFAULTS.workers})
  --rate N           requests a second at most (${DEFAULTS.rate})
  --slowest-ms MS    a slower answer is a violation; 0: only report it (0)
  --json FILE        writes the report as JSON
  --logs DIR         keeps the logs of the application's processes there
  --help
`;

/** @throws UsageError that says which option is wrong and what is allowed. */
export function parseOptions(args: readonly string[], kinds: readonly string[]): Options | 'help' {
  const values = read(args);
  if (values.help) return 'help';
  return {
    seconds: whole('seconds', values.seconds, 1, 86_400),
    seed:
      values.seed === undefined ? randomInt(2 ** 32) : whole('seed', values.seed, 0, 2 ** 32 - 1),
    stores: stores(values.store),
    faults: faults(values.faults, kinds),
    workers: whole('workers', values.workers, 1, 200),
    rate: whole('rate', values.rate, 1, 5_000),
    slowestMs: whole('slowest-ms', values['slowest-ms'], 0, 600_000),
    json: values.json ?? null,
    logs: values.logs ?? null,
  };
}

function read(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        seconds: { type: 'string', default: String(DEFAULTS.seconds) },
        seed: { type: 'string' },
        store: { type: 'string', default: 'both' },
        faults: { type: 'string', default: 'all' },
        workers: { type: 'string', default: String(DEFAULTS.workers) },
        rate: { type: 'string', default: String(DEFAULTS.rate) },
        'slowest-ms': { type: 'string', default: '0' },
        json: { type: 'string' },
        logs: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function whole(name: string, text: string, min: number, max: number): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`--${name} is "${text}". Allowed: a whole number, ${min} to ${max}.`);
}

function stores(text: string): readonly Store[] {
  if (text === 'both') return ['redis', 'postgres'];
  if (text === 'redis' || text === 'postgres') return [text];
  throw new UsageError(`--store is "${text}". Allowed: redis, postgres, both.`);
}

function faults(text: string, kinds: readonly string[]): readonly string[] | null {
  if (text === 'all') return null;
  if (text === 'none') return [];
  const chosen = text.split(',');
  const unknown = chosen.find((kind) => !kinds.includes(kind));
  if (unknown === undefined) return chosen;
  throw new UsageError(
    `--faults has "${unknown}". Allowed: all, none, or some of ${kinds.join(', ')}.`,
  );
}
