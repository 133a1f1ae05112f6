import { writeFileSync } from 'node:fs';
import { DEFAULTS, type Options } from './options';
import type { PhaseResult } from './phase-result';

export function repeatLine({ seed, seconds, stores, faults, workers, rate }: Options): string {
  const options = {
    ...{ seed, seconds, store: stores.length === 2 ? 'both' : stores.join() },
    ...(faults !== null && { faults: faults.join() || 'none' }),
    ...(workers !== DEFAULTS.workers && { workers }),
    ...(rate !== DEFAULTS.rate && { rate }),
  };
  const words = Object.entries(options).map(([name, value]) => `--${name} ${value}`);
  return `npm run test:chaos -- ${words.join(' ')}`;
}

export function failed(phases: readonly PhaseResult[]): boolean {
  return phases.some(({ findings }) => findings.failed);
}

/** The report as a table, one column a store. */
export function renderReport(options: Options, phases: readonly PhaseResult[]): string {
  const rows: [string, ...string[]][] = [
    ['', ...phases.map(({ store }) => store)],
    row('seed', phases, () => options.seed),
    row('seconds', phases, ({ seconds }) => seconds),
    row('requests', phases, ({ requests }) => requests),
    ...counted(phases, ({ statuses }) => statuses),
    ...counted(phases, ({ faults }) => faults, 'fault '),
    row('audits of live bytes', phases, ({ samples }) => samples),
    row('audits that no server answered', phases, ({ skippedSamples }) => skippedSamples),
    row('readings held against what had to be there', phases, ({ readings }) => readings),
    row('  of them at the end', phases, ({ valuesRead }) => valuesRead),
    row('values gone behind a 503', phases, ({ goneBehind503 }) => goneBehind503),
    row('over-admitted bytes', phases, ({ findings }) => findings.overAdmittedBytes),
    row('lost bytes', phases, ({ findings }) => findings.lostBytes),
    row('false refusals', phases, ({ findings }) => findings.falseRefusals),
    row('refused releases', phases, ({ findings }) => findings.refusedReleases),
    row('drift bytes', phases, ({ findings }) => findings.driftBytes),
    row('ms to converge', phases, ({ convergedMs }) =>
      convergedMs === null ? 'never' : Math.round(convergedMs),
    ),
    row('  after a reconciliation', phases, ({ mended }) =>
      mended === null ? '-' : mended ? 'yes' : 'no',
    ),
    ...counted(phases, ({ findings }) => findings.counts, 'violations: '),
    row('answers of small bodies, p50 / p99 / max ms (our stall)', phases, (phase) =>
      slowness(phase, 'all'),
    ),
    ...slowest(phases),
  ];
  const told = phases.flatMap(({ store, findings }) =>
    findings.told.map((line) => `${store}: ${line}`),
  );
  return [table(rows), ...told, '', `To repeat it: ${repeatLine(options)}`].join('\n');
}

export function writeJson(file: string, options: Options, phases: readonly PhaseResult[]): void {
  const plain = phases.map(({ findings, ...rest }) => ({
    ...rest,
    overAdmittedBytes: findings.overAdmittedBytes,
    lostBytes: findings.lostBytes,
    falseRefusals: findings.falseRefusals,
    refusedReleases: findings.refusedReleases,
    driftBytes: findings.driftBytes,
    violations: findings.counts,
    told: findings.told,
  }));
  const report = { options, failed: failed(phases), repeat: repeatLine(options), phases: plain };
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
}

function row(
  name: string,
  phases: readonly PhaseResult[],
  value: (phase: PhaseResult) => string | number,
): [string, ...string[]] {
  return [name, ...phases.map((phase) => String(value(phase)))];
}

/** One row for each name that any store has. */
function counted(
  phases: readonly PhaseResult[],
  counts: (phase: PhaseResult) => Readonly<Record<string, number>>,
  prefix = '',
): [string, ...string[]][] {
  const names = [...new Set(phases.flatMap((phase) => Object.keys(counts(phase))))].toSorted();
  return names.map((name) => row(`${prefix}${name}`, phases, (phase) => counts(phase)[name] ?? 0));
}

function slowest(phases: readonly PhaseResult[]): [string, ...string[]][] {
  const kinds = [...new Set(phases.flatMap(({ latency }) => Object.keys(latency)))];
  return kinds
    .filter((kind) => kind !== 'all')
    .toSorted()
    .map((kind) => row(`  while ${kind}`, phases, (phase) => slowness(phase, kind)));
}

function slowness({ latency }: PhaseResult, kind: string): string {
  const times = latency[kind];
  return times ? `${times.p50} / ${times.p99} / ${times.max} (${times.maxStall})` : '-';
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) =>
    Math.max(...rows.map((cells) => cells[i]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ');
  return rows.map(line).join('\n');
}
