import { SingleBar } from 'cli-progress';
import Table from 'cli-table3';

const MB = 1_048_576;
const BAR_WIDTH = 20;

/** Where a command writes: results to `out`, what is only for people who watch to `err`. */
export interface Output {
  readonly out: { write(text: string): unknown };
  readonly err: NodeJS.WriteStream | { readonly isTTY?: false; write(text: string): unknown };
  /** Results as JSON, for scripts. */
  readonly json: boolean;
}

export function printJson({ out }: Output, value: unknown): void {
  out.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** Numbers to the right. Without colours: it may be read by something else than a terminal. */
export function printTable(
  { out }: Output,
  head: readonly string[],
  rows: readonly (readonly (string | number | null)[])[],
): void {
  const numeric = head.map((_, i) => rows.every((row) => typeof row[i] === 'number'));
  const table = new Table({
    head: [...head],
    colAligns: numeric.map((right) => (right ? 'right' : 'left')),
    style: { head: [], border: [], compact: true },
    chars: NO_LINES,
  });
  table.push(...rows.map((row) => row.map((cell) => (cell === null ? '-' : String(cell)))));
  out.write(`${table.toString()}\n`);
}

const NO_LINES = {
  ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
  ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
  ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '' },
  middle: '  ',
};

/** A name and its value on each line. */
export function printFacts({ out }: Output, facts: Readonly<Record<string, unknown>>): void {
  const width = Math.max(...Object.keys(facts).map((name) => name.length));
  for (const [name, value] of Object.entries(facts)) {
    out.write(`${name.padEnd(width)}  ${value === null ? '-' : said(value)}\n`);
  }
}

/** Text as it is; a list or an object as JSON. */
function said(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

export function mb(bytes: number): number {
  return Number((bytes / MB).toFixed(2));
}

/** Used of a quota as a picture: `|` is the quota, beyond it is overage. */
export function usageBar(percent: number): string {
  const filled = Math.round((Math.min(percent, 100) / 100) * BAR_WIDTH);
  const beyond = Math.min(BAR_WIDTH, Math.max(0, Math.ceil(((percent - 100) / 100) * BAR_WIDTH)));
  return `${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}|${'!'.repeat(beyond)}`;
}

export interface Progress {
  to(value: number): void;
  stop(): void;
}

/** A bar for work that takes its time; nothing where nobody watches. */
export function progress({ err, json }: Output, total: number, unit: string): Progress {
  if (json || err.isTTY !== true) return { to: () => undefined, stop: () => undefined };
  const bar = new SingleBar({
    format: `{bar} {percentage} % | {value} of {total} ${unit}`,
    stream: err,
    hideCursor: true,
    barsize: BAR_WIDTH,
  });
  bar.start(total, 0);
  return { to: (value) => bar.update(value), stop: () => bar.stop() };
}
