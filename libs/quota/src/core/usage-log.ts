/** What one process saw of a tenant's writes within one hour, since it last told. */
export interface UsageCounts {
  readonly tenant: string;
  /** Hours since 1970, UTC, by the clock of the process. */
  readonly hour: number;
  /** The largest used bytes that a decision of this process left, bytes on hold included. */
  peakBytes: number;
  /** Writes that were let through, in shadow mode all of them. */
  writes: number;
  /** Writes refused because the tenant was over its limit (429), not those too large for anybody (413). */
  refusals: number;
  /** Writes let through in shadow mode that would have been refused. */
  shadowRefusals: number;
  /** Writes let through beyond the quota, within the overage. */
  warnings: number;
}

/** What one process saw of a tenant's requests to the cache on one day, since it last told. */
export interface CacheRequestCounts {
  readonly tenant: string;
  /** Days since 1970, UTC, by the clock of the process. */
  readonly day: number;
  requests: number;
  hits: number;
  misses: number;
  bytesServed: number;
  /** Sum of the times of all these requests, in ms. */
  totalMs: number;
}

/**
 * Counts that are told together. A writer numbers its batches from 1 and sends the next one only when
 * the one before is known to be written, so that the log can tell a batch that comes twice.
 */
export interface CountBatch<Row> {
  /** A UUID that nobody else uses. */
  readonly writer: string;
  readonly number: number;
  readonly rows: readonly Row[];
}

export type UsagePeriod = 'hour' | 'day' | 'month';

/** Where a page goes on: after this tenant's period. */
export interface UsageCursor {
  readonly tenant: string;
  /** The first moment of the period that was given last. */
  readonly start: Date;
}

interface PageQuery {
  /** The first moment, a whole hour. */
  readonly from: Date;
  /** The moment after the last, a whole hour. */
  readonly until: Date;
  readonly tenant?: string;
  readonly after?: UsageCursor;
  /** Rows, 1 to 1,000. */
  readonly limit: number;
}

export interface UsageQuery extends PageQuery {
  readonly by: UsagePeriod;
}

export type CacheMetricsQuery = PageQuery;

/** A tenant's usage in one period, UTC. */
export interface UsageRecord {
  readonly tenant: string;
  readonly start: Date;
  /** Bytes held, times the seconds they were held. A bigint: a month of 4 GB is beyond 2^53. */
  readonly byteSeconds: bigint;
  /** Seconds of the period in which usage was not read, and the smaller reading beside the gap stands for it. */
  readonly estimatedSeconds: number;
  readonly peakBytes: number;
  readonly writes: number;
  readonly refusals: number;
  readonly shadowRefusals: number;
  readonly warnings: number;
}

/** What a tenant's cache did on one day, UTC. */
export interface CacheMetricsRecord {
  readonly tenant: string;
  readonly start: Date;
  readonly requests: number;
  readonly hits: number;
  readonly misses: number;
  readonly bytesServed: number;
  readonly avgResponseMs: number | null;
}

export interface UsageLogPage<Row> {
  /** In the order of tenants, and of time within a tenant. */
  readonly rows: readonly Row[];
  /** True: there are more after the last of them. */
  readonly more: boolean;
}

/**
 * Usage over time, for bills and reports. Whatever is written twice counts once.
 *
 * Every method throws QuotaUnavailableError when the log cannot be reached.
 */
export abstract class UsageLog {
  /** Adds a batch to the hours it is of. One that was written before changes nothing. */
  abstract addCounts(batch: CountBatch<UsageCounts>): Promise<void>;

  /** Adds a batch to the days it is of. One that was written before changes nothing. */
  abstract addCacheRequests(batch: CountBatch<CacheRequestCounts>): Promise<void>;

  /**
   * Reads what these tenants use and adds what they held since they were last read: the reading before
   * counts for all of that time, or, when that is more than `maxGapSeconds`, the smaller of the two.
   * Time counts once, whoever reads and however often.
   *
   * @param read used bytes by the ledger, of those of the tenants for which it can be said now
   */
  abstract addReadings(
    tenants: readonly string[],
    read: (tenants: readonly string[]) => Promise<ReadonlyMap<string, number>>,
    maxGapSeconds: number,
  ): Promise<void>;

  /** Tenants that held something when they were last read, so many seconds ago or more; after `after`, by name. */
  abstract holders(unreadSeconds: number, after: string, limit: number): Promise<readonly string[]>;

  /** Deletes what is older, a bounded part of it; true: there is more to delete. */
  abstract prune(retentionDays: number): Promise<boolean>;

  abstract usage(query: UsageQuery): Promise<UsageLogPage<UsageRecord>>;

  abstract cacheMetrics(query: CacheMetricsQuery): Promise<UsageLogPage<CacheMetricsRecord>>;
}
