// Statements of the usage log. Parameters only; nothing is ever put together from values.

/**
 * True once for each batch of a writer: the row remembers the last. One that comes twice at once waits
 * for the other and finds it done. $1 writer, $2 number
 */
const FRESH = `fresh AS (
    INSERT INTO quota_usage_writers AS w (writer, batch) VALUES ($1, $2)
    ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, written_at = clock_timestamp()
      WHERE w.batch < excluded.batch
    RETURNING 1
  )`;

/**
 * In one order of rows, so that two of these cannot wait for each other. $1 writer, $2 number, then a
 * column each: $3 tenants, $4 hours since 1970, $5 peaks, $6 writes, $7 refusals, $8 shadow refusals,
 * $9 warnings
 */
export const ADD_COUNTS = `
  WITH ${FRESH}
  INSERT INTO quota_usage_samples AS s
    (tenant_id, hour, peak_bytes, writes, refusals, shadow_refusals, warnings)
  SELECT r.tenant_id, to_timestamp(r.hour * 3600) AS hour, max(r.peak_bytes), sum(r.writes),
    sum(r.refusals), sum(r.shadow_refusals), sum(r.warnings)
  FROM unnest($3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[])
    AS r (tenant_id, hour, peak_bytes, writes, refusals, shadow_refusals, warnings)
  WHERE EXISTS (SELECT 1 FROM fresh)
  GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (tenant_id, hour) DO UPDATE SET
    peak_bytes = greatest(s.peak_bytes, excluded.peak_bytes),
    writes = s.writes + excluded.writes,
    refusals = s.refusals + excluded.refusals,
    shadow_refusals = s.shadow_refusals + excluded.shadow_refusals,
    warnings = s.warnings + excluded.warnings`;

/**
 * The averages of both sides by their weights. $1 writer, $2 number, then a column each: $3 tenants,
 * $4 days since 1970, $5 requests, $6 hits, $7 misses, $8 bytes, $9 sums of ms
 */
export const ADD_CACHE_REQUESTS = `
  WITH ${FRESH}
  INSERT INTO tenant_cache_metrics AS m
    (tenant_id, metric_date, total_requests, cache_hits, cache_misses, total_bytes_served,
     avg_response_time_ms)
  SELECT r.tenant_id, date '1970-01-01' + r.day AS metric_date, sum(r.requests), sum(r.hits),
    sum(r.misses), sum(r.bytes), sum(r.total_ms) / sum(r.requests)
  FROM unnest($3::text[], $4::integer[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::double precision[])
    AS r (tenant_id, day, requests, hits, misses, bytes, total_ms)
  WHERE EXISTS (SELECT 1 FROM fresh)
  GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (tenant_id, metric_date) DO UPDATE SET
    total_requests = m.total_requests + excluded.total_requests,
    cache_hits = m.cache_hits + excluded.cache_hits,
    cache_misses = m.cache_misses + excluded.cache_misses,
    total_bytes_served = m.total_bytes_served + excluded.total_bytes_served,
    avg_response_time_ms =
      (coalesce(m.avg_response_time_ms, 0) * m.total_requests
        + excluded.avg_response_time_ms * excluded.total_requests)
      / (m.total_requests + excluded.total_requests)`;

/** The moment of a reading, by this server's clock, in whole seconds so that products are whole too. */
export const NOW = `SELECT date_trunc('second', clock_timestamp())::text AS read_at`;

/** A first reading: nothing is known of the time before. $1 tenants, $2 bytes, $3 read at */
export const FIRST_READINGS = `
  INSERT INTO quota_usage_meters (tenant_id, read_at, used_bytes)
  SELECT r.tenant_id, $3::timestamptz, r.bytes
  FROM unnest($1::text[], $2::bigint[]) AS r (tenant_id, bytes)
  ORDER BY 1
  ON CONFLICT (tenant_id) DO NOTHING`;

/** Whoever reads the same tenants at the same time waits here, and then finds that time counted. $1 tenants */
export const LOCK_METERS = `
  SELECT 1 FROM quota_usage_meters WHERE tenant_id = ANY($1::text[]) ORDER BY tenant_id FOR UPDATE`;

/**
 * What was held from the reading before to this one, by hours. More than a month of it is not counted.
 * $1 tenants, $2 bytes, $3 read at, $4 seconds above which it is a gap
 */
export const ADD_READINGS = `
  WITH reading AS (
    SELECT r.tenant_id, r.bytes, $3::timestamptz AS read_at
    FROM unnest($1::text[], $2::bigint[]) AS r (tenant_id, bytes)
  ), span AS (
    SELECT tenant_id, r.read_at AS ends,
      greatest(m.read_at, r.read_at - interval '31 days') AS begins,
      r.read_at - m.read_at > make_interval(secs => $4::integer) AS estimated,
      CASE WHEN r.read_at - m.read_at > make_interval(secs => $4::integer)
        THEN least(m.used_bytes, r.bytes) ELSE m.used_bytes END AS level
    FROM quota_usage_meters m JOIN reading r USING (tenant_id)
    WHERE m.read_at < r.read_at
  ), moved AS (
    UPDATE quota_usage_meters m SET read_at = r.read_at, used_bytes = r.bytes
    FROM reading r WHERE m.tenant_id = r.tenant_id AND m.read_at < r.read_at
  ), piece AS (
    SELECT tenant_id, hour, level, estimated,
      extract(epoch FROM least(ends, hour + interval '1 hour') - greatest(begins, hour)) AS seconds
    FROM span, generate_series(date_trunc('hour', begins, 'UTC'), ends, interval '1 hour') AS hour
    WHERE level > 0
    UNION ALL
    SELECT tenant_id, date_trunc('hour', read_at, 'UTC'), bytes, false, 0 FROM reading WHERE bytes > 0
  )
  INSERT INTO quota_usage_samples AS s
    (tenant_id, hour, byte_seconds, estimated_seconds, peak_bytes)
  SELECT tenant_id, hour, sum(level * seconds),
    coalesce(sum(seconds) FILTER (WHERE estimated), 0), max(level)
  FROM piece
  GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (tenant_id, hour) DO UPDATE SET
    byte_seconds = s.byte_seconds + excluded.byte_seconds,
    estimated_seconds = s.estimated_seconds + excluded.estimated_seconds,
    peak_bytes = greatest(s.peak_bytes, excluded.peak_bytes)`;

/** $1 seconds, $2 after, $3 limit */
export const HOLDERS = `
  SELECT tenant_id FROM quota_usage_meters
  WHERE used_bytes > 0 AND tenant_id > $2
    AND read_at <= clock_timestamp() - make_interval(secs => $1::integer)
  ORDER BY tenant_id LIMIT $3`;

/**
 * Each deletes at most as many rows as $2, and tells how many. A writer is kept for as long as what it
 * wrote, so that a batch that comes again so late adds to hours that are about to go themselves. A meter
 * of a tenant that holds nothing has nothing to tell. $1 days, $2 limit
 */
export const PRUNE = [
  `WITH gone AS (
     DELETE FROM quota_usage_samples WHERE ctid = ANY (ARRAY(
       SELECT ctid FROM quota_usage_samples
       WHERE hour < clock_timestamp() - make_interval(days => $1::integer) LIMIT $2))
     RETURNING 1
   ) SELECT count(*)::integer AS deleted FROM gone`,
  `WITH gone AS (
     DELETE FROM tenant_cache_metrics WHERE ctid = ANY (ARRAY(
       SELECT ctid FROM tenant_cache_metrics
       WHERE metric_date < (clock_timestamp() AT TIME ZONE 'UTC')::date - $1::integer LIMIT $2))
     RETURNING 1
   ) SELECT count(*)::integer AS deleted FROM gone`,
  `WITH gone AS (
     DELETE FROM quota_usage_writers WHERE ctid = ANY (ARRAY(
       SELECT ctid FROM quota_usage_writers
       WHERE written_at < clock_timestamp() - make_interval(days => $1::integer) LIMIT $2))
     RETURNING 1
   ) SELECT count(*)::integer AS deleted FROM gone`,
  `WITH gone AS (
     DELETE FROM quota_usage_meters WHERE ctid = ANY (ARRAY(
       SELECT ctid FROM quota_usage_meters WHERE used_bytes = 0
         AND read_at < clock_timestamp() - make_interval(days => least($1::integer, 7)) LIMIT $2))
     RETURNING 1
   ) SELECT count(*)::integer AS deleted FROM gone`,
];

/**
 * No more samples are looked at than so many periods can have, in the order of the primary key: a page
 * costs the same wherever it is. $1 hour, day or month, $2 from, $3 until, $4 tenant or null, $5 and $6
 * go on from, $7 periods, $8 samples
 */
export const USAGE = `
  SELECT tenant_id, date_trunc($1::text, hour, 'UTC') AS start,
    sum(byte_seconds)::text AS byte_seconds, sum(estimated_seconds)::text AS estimated_seconds,
    max(peak_bytes)::text AS peak_bytes, sum(writes)::text AS writes,
    sum(refusals)::text AS refusals, sum(shadow_refusals)::text AS shadow_refusals,
    sum(warnings)::text AS warnings
  FROM (
    SELECT * FROM quota_usage_samples
    WHERE hour >= $2::timestamptz AND hour < $3::timestamptz
      AND ($4::text IS NULL OR tenant_id = $4) AND (tenant_id, hour) >= ($5::text, $6::timestamptz)
    ORDER BY tenant_id, hour LIMIT $8
  ) AS sample
  GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $7`;

/** $1 from, $2 until (dates), $3 tenant or null, $4 and $5 go on from, $6 limit */
export const CACHE_METRICS = `
  SELECT tenant_id, metric_date::text AS metric_date, total_requests, cache_hits, cache_misses,
    total_bytes_served, avg_response_time_ms
  FROM tenant_cache_metrics
  WHERE metric_date >= $1::date AND metric_date < $2::date
    AND ($3::text IS NULL OR tenant_id = $3) AND (tenant_id, metric_date) >= ($4::text, $5::date)
  ORDER BY tenant_id, metric_date LIMIT $6`;
