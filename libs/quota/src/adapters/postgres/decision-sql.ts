// Statements of the record of decisions. Parameters only. Times are ms since the epoch.

const at = (parameter: string): string =>
  `(timestamptz 'epoch' + ${parameter}::bigint * interval '1 millisecond')`;

const MS = `(extract(epoch FROM decided_at) * 1000)::bigint`;

/** Rows in the order given; the first one says how many are missing before it. $10 missed */
export const WRITE = `
  INSERT INTO quota_decisions (tenant_id, decided_at, bytes, delta_bytes, used_before_bytes,
    quota_bytes, hard_bytes, decision, mode, missed)
  SELECT tenant, ${at('at')}, bytes, delta, used, quota, hard, decision, mode,
    CASE WHEN place = 1 THEN $10::int ELSE 0 END
  FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::text[], $9::text[]) WITH ORDINALITY
    AS r (tenant, at, bytes, delta, used, quota, hard, decision, mode, place)
  ORDER BY place`;

/**
 * The oldest by id, as far as they are beyond the bounds. Only the primary key is looked at, and rows
 * that another instance is just removing are left to it. $1 most rows, $2 before, $3 limit
 */
export const TRIM = `
  WITH oldest AS (
    SELECT id, decided_at FROM quota_decisions ORDER BY id LIMIT $3
  ), beyond AS (
    SELECT d.id FROM oldest o JOIN quota_decisions d USING (id)
    WHERE o.id <= (SELECT max(id) FROM quota_decisions) - $1::bigint OR o.decided_at < ${at('$2')}
    ORDER BY d.id FOR UPDATE OF d SKIP LOCKED
  ), gone AS (
    DELETE FROM quota_decisions d USING beyond b WHERE d.id = b.id RETURNING 1
  )
  SELECT count(*)::int AS gone FROM gone`;

/**
 * For {@link PAGE}: it is to walk along the index. Without statistics, as in a young table and in one
 * that nothing ever analyzes, the planner would rather sort all of it for every page (measured: 700 ms
 * instead of 22).
 */
export const ALONG_THE_INDEX = `SET LOCAL enable_sort = off`;

/** $1 from, $2 to, $3-$5 after tenant, time (null: after all of its rows) and id, $6 the last tenant, $7 limit */
export const PAGE = `
  SELECT *, ${MS} AS at FROM quota_decisions
  WHERE (tenant_id, decided_at, id) > ($3::text, coalesce(${at('$4')}, 'infinity'), $5::bigint)
    AND tenant_id <= $6 AND decided_at BETWEEN ${at('$1')} AND ${at('$2')}
  ORDER BY tenant_id, decided_at, id LIMIT $7`;

/** $1 from, $2 to */
export const COVERAGE = `
  WITH seen AS (
    SELECT count(*) AS writes, count(*) FILTER (WHERE decision = 'REJECT') AS refused_writes,
      count(DISTINCT tenant_id) AS tenants,
      count(DISTINCT tenant_id) FILTER (WHERE decision = 'REJECT') AS refused_tenants,
      coalesce(sum(bytes) FILTER (WHERE decision = 'REJECT'), 0) AS refused_bytes,
      coalesce(sum(missed), 0) AS missed
    FROM quota_decisions WHERE decided_at BETWEEN ${at('$1')} AND ${at('$2')}
  )
  SELECT seen.*, (SELECT ${MS} FROM quota_decisions ORDER BY id LIMIT 1) AS oldest_at,
    coalesce((SELECT min(id) FROM quota_decisions) > 1, false) AS trimmed
  FROM seen`;

/** $1 from, $2 to, $3 after tenant, $4 limit */
export const IMPACT = `
  SELECT tenant_id, count(*) AS writes,
    count(*) FILTER (WHERE decision = 'REJECT' AND mode = 'shadow') AS shadow_refusals,
    count(*) FILTER (WHERE decision = 'REJECT' AND mode = 'enforce') AS refusals,
    sum(bytes) FILTER (WHERE decision = 'REJECT') AS refused_bytes,
    max(greatest(coalesce(used_before_bytes + delta_bytes, bytes) - hard_bytes, 0))
      FILTER (WHERE decision = 'REJECT') AS beyond,
    min(${MS}) FILTER (WHERE decision = 'REJECT') AS first_at,
    max(${MS}) FILTER (WHERE decision = 'REJECT') AS last_at
  FROM quota_decisions
  WHERE decided_at BETWEEN ${at('$1')} AND ${at('$2')} AND tenant_id > $3
  GROUP BY tenant_id HAVING bool_or(decision = 'REJECT')
  ORDER BY tenant_id LIMIT $4`;
