import { parsePeriod } from '../../core/reports/period';
import { csvReport, jsonPage, parseCursor } from '../../core/reports/report';
import { usageReport } from '../../core/reports/usage-report';
import { parseTenantId } from '../../core/tenant';
import type { UsageLog, UsagePeriod, UsageQuery } from '../../core/usage-log';
import type { Query } from '../admin';
import { CliError, EXIT } from '../errors';
import { told } from './failures';

const DAY_MS = 86_400_000;

/** A page of usage as `GET /admin/usage` answers it. @throws CliError */
export async function usagePage(log: UsageLog, query: Query): Promise<unknown> {
  return told(async () => {
    const asked = queryOf(query);
    return jsonPage(usageReport(log, asked.by), asked);
  });
}

/** All of it. @throws CliError */
export async function usageCsv(log: UsageLog, query: Query): Promise<AsyncIterable<Uint8Array>> {
  return told(async () => {
    const asked = queryOf({ ...query, limit: 1 });
    return csvReport(usageReport(log, asked.by), asked);
  });
}

function queryOf({ from, to, by, tenant, after, limit }: Query): UsageQuery {
  const period = by as UsagePeriod;
  const [first, last] = [dayOf('from', from), dayOf('to', to)];
  if (last < first)
    throw new CliError('--to has to be the day of --from or a later one.', EXIT.usage);
  const cursor = after === undefined ? null : parseCursor(period, String(after));
  return {
    by: period,
    from: first,
    until: new Date(last.getTime() + DAY_MS),
    limit: Number(limit),
    ...(tenant !== undefined && { tenant: parseTenantId(tenant) }),
    ...(cursor !== null && { after: cursor }),
  };
}

function dayOf(name: string, text: unknown): Date {
  const day = parsePeriod('day', String(text));
  if (day !== null) return day;
  throw new CliError(`--${name} has to be a day in UTC, YYYY-MM-DD.`, EXIT.usage);
}
