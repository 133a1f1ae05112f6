import type { StreamableFile } from '@nestjs/common';
import type { UsageCursor, UsageLogPage } from '@app/quota';
import { csvFile, type CsvPage, type CsvRow } from './csv';
import { formatPeriod } from './period';
import { formatCursor, type ReportQuery } from './report.query';

/** Rows of CSV in memory at once; each may be made of the 744 hours of a month. */
const CSV_PAGE = 500;

/** A report of any length: where its rows come from and how they look. */
export interface Report<Row extends UsageCursor, View> {
  /** Of the file. */
  readonly name: string;
  readonly read: (query: ReportQuery) => Promise<UsageLogPage<Row>>;
  readonly view: (row: Row) => View;
  /** The columns of CSV, and what of the view they show. */
  readonly columns: Readonly<Record<string, keyof View>>;
}

/** One page of it. */
export async function jsonPage<Row extends UsageCursor, View>(
  report: Report<Row, View>,
  query: ReportQuery,
): Promise<{ items: View[]; next: string | null }> {
  const { rows, more } = await report.read(query);
  const last = rows.at(-1);
  const goesOn = more && last !== undefined;
  return {
    items: rows.map(report.view),
    next: goesOn ? formatCursor(last.tenant, formatPeriod(query.by, last.start)) : null,
  };
}

/** All of it. The first page is read before the answer begins, so that an outage is a 503. */
export async function csvReport<Row extends UsageCursor, View>(
  report: Report<Row, View>,
  query: ReportQuery,
): Promise<StreamableFile> {
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
  return csvFile(
    `${report.name}_${query.range}`,
    columns.map(([name]) => name),
    await page(),
  );
}
