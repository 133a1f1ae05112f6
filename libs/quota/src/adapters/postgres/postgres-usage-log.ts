import type { DataSource } from 'typeorm';
import {
  UsageLog,
  type CacheMetricsQuery,
  type CacheMetricsRecord,
  type CacheRequestCounts,
  type CountBatch,
  type UsageCounts,
  type UsageLogPage,
  type UsagePeriod,
  type UsageQuery,
  type UsageRecord,
} from '../../core/usage-log';
import { exactNumber } from './bigint';
import { inTransaction, withConnection, type Row } from './session';
import {
  ADD_CACHE_REQUESTS,
  ADD_COUNTS,
  ADD_READINGS,
  CACHE_METRICS,
  FIRST_READINGS,
  HOLDERS,
  LOCK_METERS,
  NOW,
  PRUNE,
  USAGE,
} from './usage-log-sql';

/** Rows that one statement deletes. */
const PRUNED = 2_000;

/** Samples that a period has at most. */
const HOURS: Readonly<Record<UsagePeriod, number>> = { hour: 1, day: 24, month: 24 * 31 };

/** Sorts before every tenant id. */
const FIRST = '';

/** Usage over time in PostgreSQL, in the tables of `quotaMigrations`. */
export class PostgresUsageLog extends UsageLog {
  constructor(private readonly dataSource: DataSource) {
    super();
  }

  async addCounts({ writer, number, rows }: CountBatch<UsageCounts>): Promise<void> {
    await this.query('usage_counts', ADD_COUNTS, [
      ...[writer, number],
      ...[rows.map(({ tenant }) => tenant), rows.map(({ hour }) => hour)],
      ...[rows.map(({ peakBytes }) => peakBytes), rows.map(({ writes }) => writes)],
      ...[rows.map(({ refusals }) => refusals)],
      ...[rows.map(({ shadowRefusals }) => shadowRefusals)],
      ...[rows.map(({ warnings }) => warnings)],
    ]);
  }

  async addCacheRequests({ writer, number, rows }: CountBatch<CacheRequestCounts>): Promise<void> {
    await this.query('usage_counts', ADD_CACHE_REQUESTS, [
      ...[writer, number],
      ...[rows.map(({ tenant }) => tenant), rows.map(({ day }) => day)],
      ...[rows.map(({ requests }) => requests), rows.map(({ hits }) => hits)],
      ...[rows.map(({ misses }) => misses), rows.map(({ bytesServed }) => bytesServed)],
      ...[rows.map(({ totalMs }) => totalMs)],
    ]);
  }

  /** No connection is held while the ledger is read. */
  async addReadings(
    tenants: readonly string[],
    read: (tenants: readonly string[]) => Promise<ReadonlyMap<string, number>>,
    maxGapSeconds: number,
  ): Promise<void> {
    if (tenants.length === 0) return;
    const [now] = await this.query('usage_meter', NOW, []);
    const used = await read(tenants);
    if (used.size === 0) return;
    const names = [...used.keys()];
    const readings = [names, [...used.values()], now?.['read_at']];
    await inTransaction(this.dataSource, 'usage_meter', async (session) => {
      await session.query(FIRST_READINGS, readings);
      await session.query(LOCK_METERS, [names]);
      await session.query(ADD_READINGS, [...readings, maxGapSeconds]);
    });
  }

  async holders(unreadSeconds: number, after: string, limit: number): Promise<readonly string[]> {
    const rows = await this.query('usage_meter', HOLDERS, [unreadSeconds, after, limit]);
    return rows.map((row) => String(row['tenant_id']));
  }

  async prune(retentionDays: number): Promise<boolean> {
    let more = false;
    for (const statement of PRUNE) {
      const [row] = await this.query('usage_prune', statement, [retentionDays, PRUNED]);
      if (row?.['deleted'] === PRUNED) more = true;
    }
    return more;
  }

  async usage(query: UsageQuery): Promise<UsageLogPage<UsageRecord>> {
    const { by, from, until, tenant, after, limit } = query;
    const goOn = after === undefined ? from : endOf(by, after.start);
    const periods = limit + 1;
    const range = [from, until, tenant ?? null, after?.tenant ?? FIRST, goOn];
    const values = [by, ...range, periods, periods * HOURS[by]];
    return pageOf(await this.query('usage', USAGE, values), limit, usageRecord);
  }

  async cacheMetrics(query: CacheMetricsQuery): Promise<UsageLogPage<CacheMetricsRecord>> {
    const { from, until, tenant, after, limit } = query;
    const goOn = after === undefined ? from : endOf('day', after.start);
    const days = [from, until].map(dateOf);
    const page = [...days, tenant ?? null, after?.tenant ?? FIRST, dateOf(goOn), limit + 1];
    return pageOf(await this.query('cache_metrics', CACHE_METRICS, page), limit, metricsRecord);
  }

  private query(operation: string, text: string, values: readonly unknown[]): Promise<Row[]> {
    return withConnection(this.dataSource, operation, (session) => session.query(text, values));
  }
}

/** The moment after a period. */
function endOf(by: UsagePeriod, start: Date): Date {
  const end = new Date(start);
  if (by === 'hour') end.setUTCHours(end.getUTCHours() + 1);
  if (by === 'day') end.setUTCDate(end.getUTCDate() + 1);
  if (by === 'month') end.setUTCMonth(end.getUTCMonth() + 1);
  return end;
}

function dateOf(moment: Date): string {
  return moment.toISOString().slice(0, 10);
}

/** One row more than asked for was read, to know whether there are more. */
function pageOf<T>(
  rows: readonly Row[],
  limit: number,
  toRecord: (row: Row) => T,
): UsageLogPage<T> {
  return { rows: rows.slice(0, limit).map(toRecord), more: rows.length > limit };
}

function usageRecord(row: Row): UsageRecord {
  return {
    tenant: String(row['tenant_id']),
    start: row['start'] as Date,
    byteSeconds: BigInt(String(row['byte_seconds'])),
    estimatedSeconds: exactNumber(row['estimated_seconds']),
    peakBytes: exactNumber(row['peak_bytes']),
    writes: exactNumber(row['writes']),
    refusals: exactNumber(row['refusals']),
    shadowRefusals: exactNumber(row['shadow_refusals']),
    warnings: exactNumber(row['warnings']),
  };
}

function metricsRecord(row: Row): CacheMetricsRecord {
  const average = row['avg_response_time_ms'];
  return {
    tenant: String(row['tenant_id']),
    start: new Date(`${String(row['metric_date'])}T00:00:00Z`),
    requests: exactNumber(row['total_requests']),
    hits: exactNumber(row['cache_hits']),
    misses: exactNumber(row['cache_misses']),
    bytesServed: exactNumber(row['total_bytes_served']),
    avgResponseMs: average === null ? null : Number(average),
  };
}
