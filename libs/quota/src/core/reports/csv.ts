import { stringify } from 'csv-stringify';
import { pipeline, Readable } from 'node:stream';

/** One row of a table: its cells by the names of the columns. */
export type CsvRow = Readonly<Record<string, string | number | null>>;

/** A page of rows, and how to have the next one; null at the end. */
export interface CsvPage {
  readonly rows: readonly CsvRow[];
  readonly next: (() => Promise<CsvPage>) | null;
}

/**
 * A table as CSV (RFC 4180, UTF-8, with a header row). A page at a time is in memory; the
 * next one is read when whoever reads has taken the one before. Should that fail the stream does, so
 * that no part of a table is taken for the whole. No cell is a formula to a spreadsheet.
 */
export function csvStream(columns: readonly string[], first: CsvPage): Readable {
  const csv = stringify({
    header: true,
    columns: [...columns],
    escape_formulas: true,
    record_delimiter: 'windows',
  });
  // Whoever takes the stream hears of errors, and the rows end with it when that one leaves.
  pipeline(Readable.from(rowsOf(first)), csv, () => undefined);
  return csv;
}

async function* rowsOf(first: CsvPage): AsyncGenerator<CsvRow> {
  let page: CsvPage | null = first;
  while (page !== null) {
    yield* page.rows;
    page = page.next && (await page.next());
  }
}
