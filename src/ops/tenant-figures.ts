import type { DataSource } from 'typeorm';
import { runStatement } from '../database/run-statement';

/** Of the table of quotas, into which usage is written every QUOTA_USAGE_SYNC_SECONDS. */
export interface TenantFigures {
  readonly over: number;
  readonly near: number;
  /** The fullest first. */
  readonly top: readonly {
    readonly tenant: string;
    readonly bytes: number;
    readonly percent: number;
  }[];
}

const DEADLINE_MS = 1_000;

/** Bytes per MB of quota, as tenant_cache_quotas_fill_idx has it. */
const FILL = 'current_usage_bytes::double precision / nullif(quota_mb, 0)';

/** Each by an index of its own. 838,860.8 bytes of each MB are 80 %. */
const COUNTS = `
  SELECT
    (SELECT count(*)::int FROM tenant_cache_quotas
      WHERE current_usage_bytes > quota_mb::bigint * 1048576) AS over,
    (SELECT count(*)::int FROM tenant_cache_quotas WHERE ${FILL} >= 838860.8) AS near`;

/** $1 how many */
const TOP = `
  SELECT tenant_id AS tenant, current_usage_bytes::double precision AS bytes,
    ${FILL} / 10485.76 AS percent
  FROM tenant_cache_quotas ORDER BY ${FILL} DESC LIMIT $1`;

/**
 * @param topTenants how many to name; 0: none
 * @throws what the database answers, or that it did not in a second
 */
export async function readTenantFigures(
  dataSource: DataSource,
  topTenants: number,
): Promise<TenantFigures> {
  const run = (text: string, values: readonly unknown[]): ReturnType<typeof runStatement> =>
    runStatement(dataSource, { text, values, deadlineMs: DEADLINE_MS });
  const [[counts], top] = await Promise.all([
    run(COUNTS, []),
    topTenants === 0 ? [] : run(TOP, [topTenants]),
  ]);
  return { ...(counts as Omit<TenantFigures, 'top'>), top: top as TenantFigures['top'][number][] };
}
