import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BelowRow } from '../parts/below';
import type { ClosedRow } from '../parts/closed';
import type { MemoryRow } from '../parts/memory';
import type { OpenRow } from '../parts/open';
import type { SweepRow } from '../parts/sweeps';
import type { Machine } from './machine';

/** All that a run has found, as kept in results.json. */
export interface Results {
  readonly machine: Machine;
  /** When it was begun, and how long it took. */
  readonly at: string;
  readonly minutes: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly openSeconds: number;
  readonly closed: readonly ClosedRow[];
  readonly open: readonly OpenRow[];
  readonly sweeps: readonly SweepRow[];
  readonly below: readonly BelowRow[];
  readonly memory: readonly MemoryRow[];
}

/** Where results go: the folder of the sources, from wherever the built bench was started. */
export const RESULTS_FOLDER = join(process.cwd(), 'bench');
const FILE = join(RESULTS_FOLDER, 'results.json');

export async function saveResults(results: Results): Promise<void> {
  const rounded = (_key: string, value: unknown): unknown =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
  await writeFile(FILE, `${JSON.stringify(results, rounded)}\n`);
}

/** @throws Error when no run has left any. */
export async function loadResults(): Promise<Results> {
  return JSON.parse(await readFile(FILE, 'utf8')) as Results;
}
