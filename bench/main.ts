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

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options.render) return writeAll(await loadResults());
  const stand = await Stand.start();
  try {
    if (options.profile !== undefined) await profileVariant(stand, options.profile, options);
    else if (options.short) process.exitCode = (await runShort(stand)) ? 0 : 1;
    else await writeAll(await measureAll(stand, options));
  } finally {
    await stand.stop();
  }
}

async function measureAll(stand: Stand, options: BenchOptions): Promise<Results> {
  const { rounds, seconds, openSeconds, parts, adapters } = options;
  const began = Date.now();
  const machine = await describeMachine(await stand.versions());
  const progress = new Progress(stepsOf(options));
  try {
    const routes = await measureRoutes(stand, options, progress);
    const sweeps = parts.includes('sweeps')
      ? await measureSweeps(stand, adapters.at(-1) ?? 'fastify', options, progress)
      : [];
    const below = parts.includes('below') ? await measureBelow(stand, progress) : [];
    const memory = parts.includes('memory') ? await measureMemory(stand, progress) : [];
    const at = new Date(began).toISOString().slice(0, 16).replace('T', ' ');
    const minutes = (Date.now() - began) / 60_000;
    return {
      ...{ machine, at: `${at} UTC`, minutes, rounds, seconds, openSeconds },
      ...{ ...routes, sweeps, below, memory },
    };
  } finally {
    progress.stop();
  }
}

async function measureRoutes(
  stand: Stand,
  options: BenchOptions,
  progress: Progress,
): Promise<{ closed: ClosedRow[]; open: OpenRow[] }> {
  const { parts, adapters, variants } = options;
  const closed: ClosedRow[] = [];
  const open: OpenRow[] = [];
  if (!parts.includes('closed') && !parts.includes('open')) return { closed, open };
  for (const adapter of adapters) {
    const subjects = await stand.open(adapter, variants);
    await warmUp(subjects, progress);
    if (parts.includes('open')) open.push(...(await measureOpen(subjects, options, progress)));
    if (parts.includes('closed'))
      closed.push(...(await measureClosed(subjects, options, progress)));
    await stand.close();
  }
  return { closed, open };
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
  const warm = parts.includes('closed') || parts.includes('open');
  const warmUps = warm ? adapters.length * variants.length : 0;
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
