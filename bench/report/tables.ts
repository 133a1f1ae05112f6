import { spreadOf } from '../statistics';

/** A table of Markdown; numbers to the right of the first column. Says so where there is nothing. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return 'Not measured in this run.';
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, i) => (i === 0 ? '---' : '--:'));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}

/** `median (min–max)`; a dash where nothing was measured. */
export function spread(values: readonly number[], digits = 0): string {
  if (values.length === 0) return '—';
  const { median, min, max } = spreadOf(values);
  return `${number(median, digits)} (${number(min, digits)}–${number(max, digits)})`;
}

export function number(value: number, digits = 0): string {
  if (!Number.isFinite(value)) return '—';
  return value.toLocaleString('en', {
    ...{ minimumFractionDigits: digits, maximumFractionDigits: digits },
  });
}
