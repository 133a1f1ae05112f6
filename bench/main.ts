// npm run bench -- --help
import { readOptions, type BenchOptions } from './options';
import { belowSteps, measureBelow } from './parts/below';
import { closedSteps, measureClosed, warmUp, type ClosedRow } from './parts/closed';
import { measureMemory, memorySteps } from './parts/memory';
import { measureOpen, openSteps, type OpenRow } from './parts/open';
import { measureSweeps, sweepSteps } from './parts/sweeps';
import { profileVariant } from './profile';
import { describeMachine } from './report/machine';
import { writeReport } from './report/markdown';
import { writePlots } from './report/plots';
import { Progress } from './report/progress';
import { loadResults, saveResults, type Results } from './report/results';
import { runShort } from './short';
import { Stand } from './stand/stand';
import type { Adapter } from './variants';

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options.render) return writeAll(await loadResults());
  const stand = await Stand.start();
  try {
    if (options.profile !== undefined) await profileVariant(stand, options.profile, options);
    else if (options.short) process.exitCode = (await runShort(stand)) ? 0 : 1;
    else await measureAll(stand, options);
  } finally {
    await stand.stop();
  }
}

/** Writes after each part what there is, so that a part that fails costs none of the others. */
async function measureAll(stand: Stand, options: BenchOptions): Promise<void> {
  const { rounds, seconds, openSeconds, parts, adapters } = options;
  const began = Date.now();
  const machine = await describeMachine(await stand.versions());
  const progress = new Progress(stepsOf(options));
  const at = `${new Date(began).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  const nothing = { closed: [], open: [], sweeps: [], below: [], memory: [] };
  let results: Results = { machine, at, minutes: 0, rounds, seconds, openSeconds, ...nothing };
  const keep = async (found: Partial<Results>): Promise<void> => {
    results = { ...results, ...found, minutes: (Date.now() - began) / 60_000 };
    await writeAll(results);
  };
  try {
    for (const adapter of hasRoutes(options) ? adapters : []) {
      const { closed, open } = await measureRoutes(stand, adapter, options, progress);
      await keep({ closed: [...results.closed, ...closed], open: [...results.open, ...open] });
    }
    if (parts.includes('below')) await keep({ below: await measureBelow(stand, progress) });
    if (parts.includes('memory')) await keep({ memory: await measureMemory(stand, progress) });
    if (parts.includes('sweeps')) {
      const adapter = adapters.at(-1) ?? 'fastify';
      await keep({ sweeps: await measureSweeps(stand, adapter, options, progress) });
    }
  } finally {
    progress.stop();
  }
}

async function measureRoutes(
  stand: Stand,
  adapter: Adapter,
  options: BenchOptions,
  progress: Progress,
): Promise<{ closed: ClosedRow[]; open: OpenRow[] }> {
  const { parts, variants } = options;
  const subjects = await stand.open(adapter, variants);
  await warmUp(subjects, progress);
  const open = parts.includes('open') ? await measureOpen(subjects, options, progress) : [];
  const closed = parts.includes('closed') ? await measureClosed(subjects, options, progress) : [];
  await stand.close();
  return { closed, open };
}

function hasRoutes({ parts }: BenchOptions): boolean {
  return parts.includes('closed') || parts.includes('open');
}

function stepsOf(options: BenchOptions): number {
  const { parts, adapters, variants } = options;
  const steps = {
    closed: adapters.length * closedSteps(options),
    open: adapters.length * openSteps(options),
    sweeps: sweepSteps(),
    below: belowSteps(),
    memory: memorySteps(),
  };
  const warmUps = hasRoutes(options) ? adapters.length * variants.length : 0;
  return parts.reduce((sum, part) => sum + steps[part], warmUps);
}

async function writeAll(results: Results): Promise<void> {
  await saveResults(results);
  await writeReport(results, await writePlots(results));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
