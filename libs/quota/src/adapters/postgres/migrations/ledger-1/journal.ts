// What a ledger beside this one has to hear of. Entries need no journal: they are it.

/**
 * Somebody else may have the tenant's keys: a part of the limit is granted, or a batch is on its way.
 * What was granted to a life that has ended is dropped as a whole, and hears of nothing any more.
 */
export const SHARED = `(s.folding OR (s.granted_bytes > 0 AND NOT s.drop_pending))`;

/** All that may not be admitted here. */
export const ELSEWHERE = `(s.granted_bytes + s.folding_bytes)`;

/** Journals the removal of keys, one row a key, and the highest version of it. */
export const insertRemovals = (rows: string): string => `
      INSERT INTO quota_ledger_removals AS r (tenant_id, key, version) ${rows}
      ON CONFLICT (tenant_id, key) DO UPDATE SET version = greatest(r.version, excluded.version)`;

/** Where an entry goes without another in its place, an older one elsewhere goes too. */
export const journalRemoval = (version: string, key = 'p_key'): string => `
    IF ${SHARED} THEN
      s.has_removals := true;${insertRemovals(`VALUES (p_tenant, ${key}, ${version})`)};
    END IF;`;

/** What the journal has of p_key that is newer than a write with a version: it is outdated then. */
export const JOURNALED_VERSION = `
      IF p_version IS NOT NULL AND p_key IS NOT NULL AND (s.has_removals OR s.folding) THEN
        journaled := greatest(
          (SELECT r.version FROM quota_ledger_removals r
            WHERE r.tenant_id = p_tenant AND r.key = p_key),
          (SELECT f.version FROM quota_ledger_folds f
            WHERE f.tenant_id = p_tenant AND f.key = p_key));
      END IF;`;

/**
 * A write says all that a removal before it would. Without a version it does not outrank what the
 * other ledger has, so a removal with one stays and goes before it.
 */
export const overrideRemoval = (key: string, version: string): string => `
      IF s.has_removals THEN
        DELETE FROM quota_ledger_removals r
        WHERE r.tenant_id = p_tenant AND r.key = ${key} AND r.version <= coalesce(${version}, 0);
      END IF;`;
