// Statements of the quota store. Parameters only; nothing is ever put together from values.

/** The tenant's row, if any, and the stamp of its latest change, of one moment. $1 tenant */
export const LOAD = `
  SELECT q.*, coalesce(
    (SELECT max(c.id) FROM quota_changes c WHERE c.tenant_id = wanted.tenant_id), 0) AS stamp
  FROM (SELECT $1::text AS tenant_id) wanted
  LEFT JOIN tenant_cache_quotas q ON q.tenant_id = wanted.tenant_id`;

/**
 * What is null, or false, asks for nothing. $1 after, $2 limit, $3 over the quota, $4 least percent of
 * it, $5 mode, or 'null' for none, $6 to $8 the limits of a plan: quota_mb, overage_allowed,
 * overage_limit_mb
 */
export const LIST = `
  SELECT * FROM tenant_cache_quotas
  WHERE tenant_id > $1
    AND (NOT $3::boolean OR current_usage_bytes > quota_mb::bigint * 1048576)
    AND ($4::numeric IS NULL
      OR current_usage_bytes::numeric * 100 >= quota_mb::numeric * 1048576 * $4::numeric)
    AND ($5::text IS NULL OR coalesce(mode, 'null') = $5::text)
    AND ($6::integer IS NULL OR (quota_mb = $6::integer
      AND overage_allowed = $7::boolean AND overage_limit_mb = $8::integer))
  ORDER BY tenant_id LIMIT $2`;

/**
 * Held to the end of the transaction: changes of one tenant are made one after the other, so that
 * their stamps rise in the order they are committed. A row lock could not do that, since there is
 * no row before a create nor after a delete. $1 tenant
 */
export const LOCK = `
  SELECT pg_advisory_xact_lock(hashtextextended('nestjs-cache-quota:' || $1::text, 0))`;

/** $1 tenant */
export const BEFORE = `SELECT * FROM tenant_cache_quotas WHERE tenant_id = $1 FOR UPDATE`;

const SNAPSHOT = `jsonb_build_object(
    'quota_mb', quota_mb, 'overage_allowed', overage_allowed,
    'overage_limit_mb', overage_limit_mb, 'mode', mode, 'version', version)`;

/**
 * The new row and its line in the audit trail. The conflict is with a row that somebody inserted by
 * hand since BEFORE. $1 tenant, $2 quota_mb, $3 overage_allowed, $4 overage_limit_mb, $5 mode, $6 actor
 */
export const PUT = `
  WITH old AS (
    SELECT ${SNAPSHOT} AS snapshot FROM tenant_cache_quotas WHERE tenant_id = $1
  ), new AS (
    INSERT INTO tenant_cache_quotas AS q
      (tenant_id, quota_mb, overage_allowed, overage_limit_mb, mode)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (tenant_id) DO UPDATE SET
      quota_mb = excluded.quota_mb,
      overage_allowed = excluded.overage_allowed,
      overage_limit_mb = excluded.overage_limit_mb,
      mode = excluded.mode,
      version = q.version + 1,
      updated_at = clock_timestamp()
    RETURNING q.*
  ), change AS (
    INSERT INTO quota_changes (tenant_id, actor, action, before, after)
    SELECT $1, $6, CASE WHEN version = 1 THEN 'create' ELSE 'update' END,
      (SELECT snapshot FROM old), ${SNAPSHOT}
    FROM new
    RETURNING id
  )
  SELECT new.*, change.id AS stamp FROM new, change`;

/** $1 tenant, $2 actor */
export const DELETE = `
  WITH old AS (
    DELETE FROM tenant_cache_quotas WHERE tenant_id = $1
    RETURNING quota_mb, overage_allowed, overage_limit_mb, mode, version
  )
  INSERT INTO quota_changes (tenant_id, actor, action, before)
  SELECT $1, $2, 'delete', ${SNAPSHOT} FROM old
  RETURNING id AS stamp`;

/** $1 tenant, $2 stamp that they are below, or null, $3 limit */
export const CHANGES = `
  SELECT id, action, actor, before, after, changed_at FROM quota_changes
  WHERE tenant_id = $1 AND ($2::bigint IS NULL OR id < $2::bigint)
  ORDER BY id DESC LIMIT $3`;

/** Those of the tenants that have a row, and the time at which reading their usage begins. $1 tenants */
export const ROWS_OF = `
  SELECT tenant_id, clock_timestamp()::text AS read_at
  FROM tenant_cache_quotas WHERE tenant_id = ANY($1::text[])`;

/**
 * Usage as it was read, into the rows where it is another, but not over a later reading. Rows are
 * locked in one order, so that two of these cannot wait for each other; `updated_at` and `version`
 * are those of the quota, and stay. $1 tenants, $2 bytes, $3 read at
 */
export const RECORD_USAGE = `
  WITH reading AS (
    SELECT * FROM unnest($1::text[], $2::bigint[]) AS r (tenant_id, bytes)
  ), outdated AS (
    SELECT q.id, r.bytes FROM tenant_cache_quotas q JOIN reading r USING (tenant_id)
    WHERE q.current_usage_bytes <> r.bytes
      AND (q.usage_read_at IS NULL OR q.usage_read_at <= $3::timestamptz)
    ORDER BY q.tenant_id FOR NO KEY UPDATE OF q
  ), written AS (
    UPDATE tenant_cache_quotas q SET current_usage_bytes = o.bytes, usage_read_at = $3::timestamptz
    FROM outdated o WHERE q.id = o.id
    RETURNING 1
  )
  SELECT count(*)::int AS changed FROM written`;
