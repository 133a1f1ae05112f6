// Statements of the entry repository. All of them name a row by tenant and key, and take the time
// from the database, at the moment and not at the statement's start, which may lie a lock's wait back.

const LIVE = '(expires_at IS NULL OR expires_at > clock_timestamp())';

/**
 * The version is drawn while the row is held: where the row is there, ON CONFLICT locks it before it
 * computes. Where there is none, the version is drawn first, but a row that another put in meanwhile
 * makes a conflict and a new version; a tombstone stays longer than any statement may take.
 *
 * $1 tenant, $2 key, $3 body, $4 content type, $5 life in ms or null
 */
export const PUT = `
  INSERT INTO cache_entries AS e
    (tenant_id, key, body, bytes, content_type, expires_at, version, deleted, was_live)
  VALUES ($1, $2, $3::bytea, octet_length($3::bytea), $4,
    clock_timestamp() + $5::double precision * interval '1 millisecond',
    nextval('cache_entries_version_seq'), false, false)
  ON CONFLICT (tenant_id, key) DO UPDATE SET
    body = excluded.body,
    bytes = excluded.bytes,
    content_type = excluded.content_type,
    expires_at = clock_timestamp() + $5::double precision * interval '1 millisecond',
    version = nextval('cache_entries_version_seq'),
    deleted = false,
    was_live = NOT e.deleted AND (e.expires_at IS NULL OR e.expires_at > clock_timestamp())
  RETURNING version, was_live, expires_at`;

/** Without the body where that is above 1 MB. $1 tenant, $2 key */
export const GET = `
  SELECT CASE WHEN bytes <= 1048576 THEN body END AS body, content_type, bytes, expires_at
  FROM cache_entries
  WHERE tenant_id = $1 AND key = $2 AND NOT deleted AND ${LIVE}`;

/** $1 tenant, $2 key */
export const GET_LARGE = `
  SELECT body, content_type, bytes, expires_at FROM cache_entries
  WHERE tenant_id = $1 AND key = $2 AND NOT deleted AND ${LIVE}`;

/**
 * The right-hand sides see the row as it was. When another write of the row comes in between,
 * PostgreSQL computes them anew from what that one left, the version included.
 */
const TOMBSTONE = `
  UPDATE cache_entries SET
    body = '', bytes = 0, deleted = true, expires_at = clock_timestamp(),
    version = nextval('cache_entries_version_seq'), was_live = ${LIVE}
  WHERE tenant_id = $1 AND key = $2 AND NOT deleted`;

/** $1 tenant, $2 key */
export const DELETE = `${TOMBSTONE} RETURNING version, was_live`;

/** $1 tenant, $2 key, $3 version */
export const UNDO = `${TOMBSTONE} AND version = $3 RETURNING version, was_live`;

/** Large values lie in many small pieces, all of which a DELETE has to visit. */
const BATCH_BYTES = '67108864';

/** Deletes of these candidates, which are locked, as many as have some 64 MB together, or one. */
const deleteBatch = (candidates: string): string => `
    DELETE FROM cache_entries e USING (
      SELECT tenant_id, key, sum(bytes) OVER (ORDER BY tenant_id, key) - bytes AS before
      FROM (${candidates}) candidate
    ) due
    WHERE e.tenant_id = due.tenant_id AND e.key = due.key AND due.before < ${BATCH_BYTES}
    RETURNING 1`;

/** What was written before this is older than the version it draws. */
export const NEXT_VERSION = `SELECT nextval('cache_entries_version_seq') AS version`;

/**
 * Tombstones here too, though all goes: a write that waits for one of these rows has drawn a version
 * already, and would put it in after a DELETE, older than what the ledger has seen of the key.
 *
 * $1 tenant, $2 rows at most, $3 version that they are below
 */
export const PURGE = `
  UPDATE cache_entries e SET
    body = '', bytes = 0, deleted = true, expires_at = clock_timestamp(),
    version = nextval('cache_entries_version_seq'), was_live = false
  FROM (
    SELECT tenant_id, key, sum(bytes) OVER (ORDER BY key) - bytes AS before FROM (
      SELECT tenant_id, key, bytes FROM cache_entries
      WHERE tenant_id = $1 AND NOT deleted AND version < $3 ORDER BY key LIMIT $2 FOR UPDATE
    ) candidate
  ) due
  WHERE e.tenant_id = due.tenant_id AND e.key = due.key AND due.before < ${BATCH_BYTES}
  RETURNING e.key, e.version`;

/**
 * Five minutes are far more than the longest statement or transaction takes. Rows in use are left
 * for the next time. $1 rows at most
 */
export const SWEEP = deleteBatch(`
  SELECT tenant_id, key, bytes FROM cache_entries
  WHERE expires_at < now() - interval '5 minutes'
  ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED`);

/** $1 tenant, $2 key to go on after, $3 limit */
export const PAGE = `
  SELECT key, bytes, expires_at, version FROM cache_entries
  WHERE tenant_id = $1 AND key > $2 AND NOT deleted AND ${LIVE}
  ORDER BY key LIMIT $3`;

/** In the order of writing. $1 tenant, $2 limit, $3 version that they are below */
export const OLDEST = `
  SELECT key, bytes, expires_at, version FROM cache_entries
  WHERE tenant_id = $1 AND version < $3 AND NOT deleted AND ${LIVE}
  ORDER BY version LIMIT $2`;

/** $1 tenant, $2 keys */
export const LOOKUP = `
  SELECT key, bytes, expires_at, version FROM cache_entries
  WHERE tenant_id = $1 AND key = ANY ($2::bytea[]) AND NOT deleted AND ${LIVE}`;
