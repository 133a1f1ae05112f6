import type { Readable } from 'node:stream';
import { TENANT_ID_PATTERN } from '../tenant';
import type { UsageCursor, UsageLogPage, UsagePeriod, UsageQuery } from '../usage-log';
import { csvStream, type CsvPage, type CsvRow } from './csv';
import { formatPeriod, parsePeriod } from './period';

/** Rows of CSV in memory at once; each may be made of the 744 hours of a month. */
const CSV_PAGE = 500;

/** A report of any length: where its rows come from and how they look. */
export interface Report<Row extends UsageCursor, View> {
  readonly read: (query: UsageQuery) => Promise<UsageLogPage<Row>>;
  readonly view: (row: Row) => View;
  /** The columns of CSV, and what of the view they show. */
  readonly columns: Readonly<Record<string, keyof View>>;
}

/** One page of it. */
export async function jsonPage<Row extends UsageCursor, View>(
  report: Report<Row, View>,
  query: UsageQuery,
): Promise<{ items: View[]; next: string | null }> {
  const { rows, more } = await report.read(query);
  const last = rows.at(-1);
  const goesOn = more && last !== undefined;
  return {
    items: rows.map(report.view),
    next: goesOn ? formatCursor(last.tenant, formatPeriod(query.by, last.start)) : null,
  };
}

/** All of it as CSV. The first page is read before the stream begins, so that an outage shows. */
export async function csvReport<Row extends UsageCursor, View>(
  report: Report<Row, View>,
  query: UsageQuery,
): Promise<Readable> {
  const columns = Object.entries(report.columns);
  const page = async (after?: UsageCursor): Promise<CsvPage> => {
    const { rows, more } = await report.read({
      ...query,
      ...(after !== undefined && { after }),
      limit: CSV_PAGE,
    });
    const last = rows.at(-1);
    const cells = (row: Row): CsvRow => {
      const view = report.view(row);
      return Object.fromEntries(columns.map(([name, key]) => [name, view[key]])) as CsvRow;
    };
    return {
      rows: rows.map(cells),
      next: more && last !== undefined ? () => page(last) : null,
    };
  };
  return csvStream(
    columns.map(([name]) => name),
    await page(),
  );
}

/** Where the page after this row begins, as a client sends it back. */
export function formatCursor(tenant: string, period: string): string {
  // No tenant id has a "~".
  return `${tenant}~${period}`;
}

/** As {@link formatCursor} wrote it; null: it did not, or for other periods. */
export function parseCursor(by: UsagePeriod, text: string): UsageCursor | null {
  const [tenant = '', period = ''] = text.split('~');
  const start = parsePeriod(by, period);
  if (start === null || !TENANT_ID_PATTERN.test(tenant)) return null;
  return formatCursor(tenant, period) === text ? { tenant, start } : null;
}
