import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { RESULTS_FOLDER, type Results } from './results';
import { belowSection, closedSection, openSection, sweepSection, variantList } from './sections';
import { number, table } from './tables';
import { verdictsOn } from './verdicts';

/** Writes RESULTS.md, which shows these plots. */
export async function writeReport(results: Results, plots: readonly string[]): Promise<void> {
  const images = (kind: string): string =>
    plots
      .filter((file) => file.startsWith(kind))
      .map((file) => `![${file.replace('.svg', '').replaceAll('-', ' ')}](${file})`)
      .join('\n');
  const text = [
    '# Results of the benchmark',
    'Written by `npm run bench`; not by hand.',
    conditions(results),
    ...(results.machine.loadBefore > QUIET_LOAD ? [BUSY] : []),
    ...['## Goals', goalTable(results)],
    ...['## Throughput', CLOSED, images('throughput'), closedSection(results)],
    ...['## Latency', OPEN, images('latency'), openSection(results)],
    ...['## Tenants, sizes, ledgers', SWEEPS, images('sweep'), sweepSection(results)],
    ...['## Below HTTP', BELOW, belowSection(results)],
  ].join('\n\n');
  const file = join(RESULTS_FOLDER, 'RESULTS.md');
  await writeFile(file, await format(text, { ...(await resolveConfig(file)), filepath: file }));
}

/** Load before a run up to which its figures can be compared with those of another. */
const QUIET_LOAD = 0.5;

const BUSY = `**The machine was busy with something else before this run began. Its figures do not say what the guard
costs: latencies are those of a machine that lacks processors, and the ratios lie far apart. Run it again on a
quiet one.**`;

const CLOSED = `Closed loop: each connection sends its next request when the last was answered. 100 tenants, 100 keys
each, bodies of 1 KB. A ratio is to the bare route of the same round. "µs of processor" is what the
process of the variant has spent on a request, Redis and PostgreSQL apart.

${variantList()}`;

const OPEN = `Open loop: 1,000 requests a second whatever becomes of the answers. Latency counts from when a request was
to be sent, so that a server that stands still is charged for all that should have come meanwhile.`;

const SWEEPS = `Fastify, 32 connections (8 for bodies of 10 MB), 3 rounds. Ledgers: the same ten keys are overwritten in one
tenant that has so many entries.`;

const BELOW = `Reserve and commit by one process, 64 writes under way. Allocations are those of one write at a time on
one tenant.`;

function conditions(results: Results): string {
  const { machine, at, minutes, rounds, seconds, openSeconds } = results;
  const { processor, cores, memoryGb, kernel, loadBefore, versions } = machine;
  const names = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `${at}, ${number(minutes, 1)} minutes. ${processor}, ${cores} cores, ${memoryGb} GB, Linux ${kernel}; load before the
run ${number(loadBefore, 2)}. Generator, servers, Redis and PostgreSQL share the ${cores} cores, so the absolute figures
say little; the ratios are what counts. ${rounds} interleaved rounds of ${seconds} s, of ${openSeconds} s in the open loop: median (least–most).
Every answer was 200, and the ledger of each guard grew by what was written, to the byte; where it says "answers with
errors" the variant gave another answer at that load and was not measured.

Versions: ${names.join(', ')}.`;
}

function goalTable(results: Results): string {
  const rows = verdictsOn(results).map(({ goal, wanted, found, met }) => [
    ...[goal, wanted, found, met === undefined ? '—' : met ? 'met' : '**missed**'],
  ]);
  return table(['goal', 'wanted', 'found', ''], rows);
}
