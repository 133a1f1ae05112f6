import { held, largest, ledgerFunction } from './fragments';
import { SHARED, insertRemovals } from './journal';
import { LAPSED } from './tables';

/** Σ hold(key) over some keys, as docs/ledger.md defines it. */
const HOLDS_OF = ledgerFunction(
  'quota_ledger_holds_of',
  'p_tenant text, p_keys bytea[]',
  'bigint',
  '',
  `
    RETURN (
      SELECT coalesce(sum(${held(
        largest('p_tenant', 'k.key'),
        `(SELECT e.bytes FROM quota_ledger_entries e
          WHERE e.tenant_id = p_tenant AND e.key = k.key)`,
      )}), 0)
      FROM unnest(p_keys) AS k (key));`,
);

/** The open reservations `ids`, all those of `keys` among them, go without a mark. */
export const takeOut = (reserved: string): string => `
      ${reserved} := ${reserved} - quota_ledger_holds_of(s.tenant_id, keys);
      DELETE FROM quota_ledger_holds h
      WHERE h.tenant_id = s.tenant_id AND h.kind = 'write' AND h.id = ANY (ids);
      ${reserved} := ${reserved} + quota_ledger_holds_of(s.tenant_id, keys);
      DELETE FROM quota_ledger_versions v
      WHERE v.tenant_id = s.tenant_id AND v.key = ANY (keys)
        AND ${largest('s.tenant_id', 'v.key')} IS NULL;`;

/**
 * What is kept stays as it is, only that its deadline is where the lapsed ones are listed. One by one: a
 * join with a list may be made from the side of the table, which reads all of the tenant's.
 */
const KEEP = `
    lapse_number := s.lapse_number;
    IF kept > 0 THEN
      lapse_number := greatest(lapse_number, p_now - 1);
      FOR i IN 1..kept LOOP
        lapse_number := lapse_number + 1;
        UPDATE quota_ledger_holds h SET deadline = ${LAPSED} + lapse_number
        WHERE h.tenant_id = s.tenant_id AND h.kind = 'write' AND h.id = kept_ids[i];
      END LOOP;
    END IF;`;

/**
 * At most p_max expired entries go, and at most as many reservations lapse, but not the reservation
 * p_own, which the caller settles itself: those to keep are kept, the others go, unknown of them
 * although they were to be kept, since they have no key. The caller has the
 * tenant's row and writes the sums; since all who write have it first, a row stays where it was found,
 * and can be taken by its place.
 */
const REAP = ledgerFunction(
  'quota_ledger_reap',
  `s quota_ledger, p_now bigint, p_max bigint, p_own text,
    OUT committed bigint, OUT reserved bigint, OUT unkeyed_reserved bigint, OUT due_at bigint,
    OUT expired integer, OUT overdue integer, OUT kept integer, OUT kept_bytes numeric,
    OUT lapse_number bigint, OUT unknown integer, OUT more boolean`,
  'record',
  `
    freed bigint; taken_over bigint; unkeyed_freed bigint; next_own bigint;
    ids text[]; keys bytea[]; kept_ids text[];`,
  `
    WITH gone AS (
      DELETE FROM quota_ledger_entries e WHERE e.ctid = ANY (ARRAY(
        SELECT d.ctid FROM quota_ledger_entries d
        WHERE d.tenant_id = s.tenant_id AND d.expires_at IS NOT NULL AND d.expires_at <= p_now
        ORDER BY d.expires_at LIMIT p_max))
      RETURNING e.key, e.bytes, e.version
    ), journaled AS (${insertRemovals(
      `SELECT s.tenant_id, g.key, g.version FROM gone g WHERE ${SHARED}`,
    )}
    )
    SELECT count(*), coalesce(sum(g.bytes), 0),
      coalesce(sum(least(g.bytes, coalesce(${largest('s.tenant_id', 'g.key')}, 0))), 0)
    INTO expired, freed, taken_over FROM gone g;

    SELECT array_agg(d.id) FILTER (WHERE NOT d.kept),
      coalesce(array_agg(DISTINCT d.key) FILTER (WHERE NOT d.kept AND d.key IS NOT NULL), '{}'),
      coalesce(sum(d.bytes) FILTER (WHERE d.key IS NULL), 0), count(*),
      array_agg(d.id ORDER BY d.deadline) FILTER (WHERE d.kept),
      count(*) FILTER (WHERE d.kept), coalesce(sum(d.bytes) FILTER (WHERE d.kept), 0),
      count(*) FILTER (WHERE d.keep AND d.key IS NULL)
    INTO ids, keys, unkeyed_freed, overdue, kept_ids, kept, kept_bytes, unknown FROM (
      SELECT h.id, h.key, h.bytes, h.keep, h.keep AND h.key IS NOT NULL AS kept, h.deadline FROM quota_ledger_holds h
      WHERE h.tenant_id = s.tenant_id AND h.state = 'open' AND h.deadline <= p_now
        AND h.id IS DISTINCT FROM p_own
      ORDER BY h.deadline LIMIT p_max
    ) d;
    committed := s.committed - freed;
    reserved := s.reserved + taken_over - unkeyed_freed;
    unkeyed_reserved := s.unkeyed_reserved - unkeyed_freed;
    IF overdue > kept THEN${takeOut('reserved')}
    END IF;${KEEP}

    due_at := least(
      (SELECT e.expires_at FROM quota_ledger_entries e
        WHERE e.tenant_id = s.tenant_id AND e.expires_at IS NOT NULL
        ORDER BY e.expires_at LIMIT 1),
      (SELECT h.deadline FROM quota_ledger_holds h
        WHERE h.tenant_id = s.tenant_id AND h.state = 'open' AND h.deadline < ${LAPSED}
          AND h.id IS DISTINCT FROM p_own
        ORDER BY h.deadline LIMIT 1));
    more := coalesce(due_at <= p_now, false);
    IF p_own IS NOT NULL THEN
      SELECT CASE WHEN h.state = 'open' AND h.deadline < ${LAPSED} THEN h.deadline END INTO next_own
      FROM quota_ledger_holds h
      WHERE h.tenant_id = s.tenant_id AND h.kind = 'write' AND h.id = p_own;
      due_at := least(due_at, next_own);
    END IF;`,
);

/** Forgets at most so many old marks, and says how many it were. */
const FORGET = ledgerFunction(
  'quota_ledger_forget',
  'p_tenant text, p_now bigint, p_max bigint',
  'bigint',
  `
    forgotten bigint;`,
  `
    DELETE FROM quota_ledger_holds h WHERE h.ctid = ANY (ARRAY(
      SELECT d.ctid FROM quota_ledger_holds d
      WHERE d.tenant_id = p_tenant AND d.state <> 'open' AND d.deadline <= p_now
      ORDER BY d.deadline LIMIT p_max));
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;`,
);

/**
 * ms until enough entries will have expired to free p_need bytes, the written key's own left out;
 * null when the next 1,000 do not show it.
 */
const RETRY_AFTER = ledgerFunction(
  'quota_ledger_retry_after',
  's quota_ledger, p_key bytea, p_need bigint, p_now bigint',
  'bigint',
  '',
  `
    IF s.committed - s.unkeyed < p_need THEN RETURN NULL; END IF;
    RETURN (
      SELECT w.expires_at - p_now FROM (
        SELECT n.expires_at, 
          sum(greatest(n.bytes - coalesce(${largest('s.tenant_id', 'n.key')}, 0), 0))
            OVER (ORDER BY n.expires_at ROWS UNBOUNDED PRECEDING) AS freed
        FROM (
          SELECT e.key, e.bytes, e.expires_at FROM quota_ledger_entries e
          WHERE e.tenant_id = s.tenant_id AND e.expires_at IS NOT NULL AND e.expires_at > p_now
          ORDER BY e.expires_at LIMIT 1000
        ) n
        WHERE n.key IS DISTINCT FROM p_key
      ) w
      WHERE w.freed >= p_need ORDER BY w.expires_at LIMIT 1);`,
);

export const REAPING_FUNCTIONS = [HOLDS_OF, REAP, FORGET, RETRY_AFTER];
