// Statements of the rollout. Parameters only; nothing is ever put together from values.

export const LOAD = `SELECT * FROM quota_rollout`;

/** Changes are made one after the other, also the first, when there is no row to lock. */
export const LOCK = `
  SELECT pg_advisory_xact_lock(hashtextextended('nestjs-cache-quota:rollout', 0))`;

/** $1 enabled, $2 log_only, $3 percent, $4 tenants, $5 version, $6 actor */
export const PUT = `
  INSERT INTO quota_rollout (only_row, enabled, log_only, percent, tenants, version, actor)
  VALUES (true, $1, $2, $3, $4::text[], $5, $6)
  ON CONFLICT (only_row) DO UPDATE SET
    enabled = excluded.enabled,
    log_only = excluded.log_only,
    percent = excluded.percent,
    tenants = excluded.tenants,
    version = excluded.version,
    actor = excluded.actor,
    changed_at = clock_timestamp()
  RETURNING *`;

/** $1 version, $2 actor, $3 before, $4 after, $5 changed at */
export const RECORD = `
  INSERT INTO quota_rollout_changes (version, actor, before, after, changed_at)
  VALUES ($1, $2, $3::jsonb, $4::jsonb, $5)`;

/** By id, which rises with the version save where the table was put back. $1 before version, $2 limit */
export const HISTORY = `
  SELECT * FROM quota_rollout_changes WHERE $1::int IS NULL OR version < $1::int
  ORDER BY version DESC, id DESC LIMIT $2`;
