import { SHARED, journalRemoval } from './journal';
import { LAPSED, MAX } from './tables';

// What the functions have in common, as text: a call from one PL/pgSQL function to another costs as
// much as a statement, and the hot tenant's row is locked meanwhile.

/** How long a settled id is remembered. */
const MARK_MS = '10000';

/**
 * ms a call waits for a lock; whoever holds the tenant's row so long is stopped or dead. A call may
 * wait twice: to be the next in line, and for the transaction before it. Both are within this side's
 * deadlines, so that the answer is "not applied" rather than none.
 */
const LOCK_MS = '1000';

/** Reaped along with each reserve, and before a refusal in one call. */
export const REAP_ALONG = '32';
export const REAP_AT_ONCE = '1000';

/**
 * One function of the ledger. Its plans are made once, maybe while the tables are empty, and must be
 * right for millions of rows; so they use the index that is made for the question, whatever it would
 * cost just then. For that every question that is not by primary key names an order, and joins go
 * row by row.
 */
export function ledgerFunction(
  name: string,
  args: string,
  returns: string,
  declare: string,
  body: string,
): { readonly name: string; readonly source: string } {
  const source = `
  CREATE FUNCTION ${name} (${args}) RETURNS ${returns}
  LANGUAGE plpgsql VOLATILE
  SET lock_timeout = ${LOCK_MS} SET plan_cache_mode = force_generic_plan
  SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
  SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off
  AS $ledger$
  DECLARE${declare}
  BEGIN${body}
  END
  $ledger$`;
  return { name, source };
}

/** Every operation's variables: the tenant's row as it becomes and as it was. */
export const STATE = `
    s quota_ledger%ROWTYPE;
    was quota_ledger%ROWTYPE;
    known boolean;
    now_ms bigint;
    defects integer := 0;`;

/**
 * Locks the tenant's row, then looks at the clock. What was waited for must be seen, so every
 * statement needs a snapshot of its own; the caller sends such a call again as READ COMMITTED.
 */
export const LOCK = `
    IF current_setting('transaction_isolation') <> 'read committed' THEN
      RAISE EXCEPTION 'the ledger works at READ COMMITTED only' USING ERRCODE = '25001';
    END IF;
    SELECT * INTO s FROM quota_ledger l WHERE l.tenant_id = p_tenant FOR UPDATE;
    known := FOUND;
    now_ms := floor(extract(epoch FROM clock_timestamp()) * 1000);
    IF NOT known THEN
      s.tenant_id := p_tenant; s.generation := ''; s.stamp := 0; s.committed := 0; s.reserved := 0;
      s.unkeyed := 0; s.unkeyed_reserved := 0; s.granted_bytes := 0; s.marks_at := 0;
      s.grant_seq := 0; s.confirmed_seq := 0; s.folding := false; s.fold_number := 0;
      s.folding_bytes := 0; s.folding_unkeyed := 0; s.folding_refunds := 0; s.refunds := 0;
      s.has_removals := false; s.drop_pending := false; s.grant_chunk := 0;
      s.unsettled := 0; s.lapsed := 0; s.lapsed_bytes := 0; s.lapse_number := 0;
    END IF;
    was := s;`;

/** @param condition that must be true; null is not. Checked before anything is looked at. */
export const insist = (condition: string): string => `
    IF (${condition}) IS NOT TRUE THEN
      RAISE EXCEPTION 'an argument of the ledger is not usable' USING ERRCODE = '22023';
    END IF;`;

export const isTenant = `p_tenant ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'`;
export const isId = `octet_length(p_id) BETWEEN 1 AND 128`;
export const isKey = `octet_length(p_key) BETWEEN 1 AND 512`;
export const isKeyOrNone = `(p_key IS NULL OR ${isKey})`;
export const isCount = (name: string, least = 0): string =>
  `${name} BETWEEN ${String(least)} AND ${MAX}`;
export const isCountOrNone = (name: string): string => `(${name} IS NULL OR ${isCount(name)})`;
/** Ends before {@link LAPSED}, and so within the exact numbers, whatever the time. */
export const isDuration = (name: string): string => `${name} BETWEEN 1 AND ${MAX} / 4`;

/**
 * Writes the row where it changed. A sum below zero is a defect of ours: it is reported with the
 * reply and set to zero, so that giving back still works.
 */
export const SAVE = `
    IF known AND s IS DISTINCT FROM was THEN
      defects := (s.committed < 0)::integer + (s.reserved < 0)::integer + (s.unkeyed < 0)::integer
        + (s.unkeyed_reserved < 0)::integer + (s.lapsed < 0)::integer
        + (s.lapsed_bytes < 0)::integer;
      s.committed := greatest(s.committed, 0);
      s.reserved := greatest(s.reserved, 0);
      s.unkeyed := greatest(s.unkeyed, 0);
      s.unkeyed_reserved := greatest(s.unkeyed_reserved, 0);
      s.lapsed := greatest(s.lapsed, 0);
      s.lapsed_bytes := greatest(s.lapsed_bytes, 0);
      UPDATE quota_ledger l SET generation = s.generation, stamp = s.stamp,
        committed = s.committed, reserved = s.reserved, unkeyed = s.unkeyed,
        unkeyed_reserved = s.unkeyed_reserved, due_at = s.due_at, marks_at = s.marks_at,
        granted_bytes = s.granted_bytes, grant_seq = s.grant_seq,
        grant_chunk = s.grant_chunk, confirmed_seq = s.confirmed_seq,
        folding = s.folding, fold_number = s.fold_number, folding_bytes = s.folding_bytes,
        folding_unkeyed = s.folding_unkeyed, folding_refunds = s.folding_refunds,
        refunds = s.refunds, has_removals = s.has_removals, drop_pending = s.drop_pending,
        unsettled = s.unsettled, lapsed = s.lapsed, lapsed_bytes = s.lapsed_bytes,
        lapse_number = s.lapse_number,
        updated_at = clock_timestamp()
      WHERE l.tenant_id = p_tenant;
    END IF;`;

/** The reply: what was decided, the sums, and what the operation adds. */
export const reply = (code: string, fields = ''): string => `
    RETURN jsonb_build_object('code', ${code}, 'committed', s.committed, 'reserved', s.reserved,
      'defects', defects${fields && `, ${fields}`});`;

/** As {@link reply}, after the row was written. */
export const finish = (code: string, fields = ''): string => `${SAVE}${reply(code, fields)}`;

/** A key's place in the ledger, and the record of an id. */
export const KEY_STATE = `
    r_state text; r_key bytea; r_bytes bigint; r_decision smallint; r_flag boolean; r_number bigint;
    r_lapsed boolean;
    live bigint; live_until bigint; live_version bigint;
    top bigint; others bigint; seen bigint;`;

/**
 * Reads the record of p_id, the live entry of p_key, the largest of its open reservations, the
 * largest of those but p_id's own, and the version remembered with them. An entry at its expiry
 * goes: its hold takes over what it gave up.
 */
export const readKey = (kind: string): string => `
    SELECT h.state, h.key, h.bytes, h.decision, h.reply_flag, h.reply_number,
      h.state = 'open' AND h.deadline >= ${LAPSED},
      e.bytes, e.expires_at, e.version,
      ${largest('p_tenant', 'p_key')},
      (SELECT o.bytes FROM quota_ledger_holds o
        WHERE o.tenant_id = p_tenant AND o.key = p_key AND o.state = 'open'
          AND o.id IS DISTINCT FROM p_id
        ORDER BY o.bytes DESC LIMIT 1),
      (SELECT v.version FROM quota_ledger_versions v
        WHERE v.tenant_id = p_tenant AND v.key = p_key)
    INTO r_state, r_key, r_bytes, r_decision, r_flag, r_number, r_lapsed,
      live, live_until, live_version, top, others, seen
    FROM (VALUES (1)) AS one
    LEFT JOIN quota_ledger_holds h
      ON h.tenant_id = p_tenant AND h.kind = '${kind}' AND h.id = p_id
    LEFT JOIN quota_ledger_entries e ON e.tenant_id = p_tenant AND e.key = p_key;
    IF live_until <= now_ms THEN
      DELETE FROM quota_ledger_entries e WHERE e.tenant_id = p_tenant AND e.key = p_key;
      s.committed := s.committed - live;
      s.reserved := s.reserved + least(live, coalesce(top, 0));
      ${journalRemoval('live_version')}
      live := NULL; live_until := NULL; live_version := NULL;
    END IF;`;

/** The largest open reservation of a key, lapsed or not; null when none is. */
export const largest = (tenant: string, key: string, which = ''): string => `(
        SELECT o.bytes FROM quota_ledger_holds o
        WHERE o.tenant_id = ${tenant} AND o.key = ${key} AND o.state = 'open'${which}
        ORDER BY o.bytes DESC LIMIT 1)`;

/**
 * The largest of those that have not lapsed: null when no write of the key is on its way. Asked so
 * that the index of the deadlines is of no use: it has all of the tenant's.
 */
export const largestOnItsWay = (tenant: string, key: string): string =>
  largest(tenant, key, ` AND (NOT o.keep OR o.deadline < ${LAPSED})`);

/** What the open reservations of a key hold beside an entry of so many bytes. */
export const held = (open: string, entry: string): string =>
  `greatest(coalesce(${open}, 0) - coalesce(${entry}, 0), 0)`;

/** The version remembered with the reservations of a key goes with the last of them. */
export const FORGET_VERSION = `
    IF seen IS NOT NULL AND others IS NULL THEN
      DELETE FROM quota_ledger_versions v WHERE v.tenant_id = p_tenant AND v.key = p_key;
    END IF;`;

/** @param open what is not null while reservations of the key stay open. */
export const noteVersion = (open: string): string => `
    IF p_version > coalesce(seen, 0) AND ${open} IS NOT NULL THEN
      INSERT INTO quota_ledger_versions AS v (tenant_id, key, version)
      VALUES (p_tenant, p_key, p_version)
      ON CONFLICT (tenant_id, key) DO UPDATE SET version = excluded.version;
    END IF;`;

/** Old marks go as new ones come, now and then, and faster than new ones can come. */
const FORGET_MARKS = `
    IF s.marks_at <= now_ms THEN
      s.marks_at := CASE
        WHEN quota_ledger_forget(p_tenant, now_ms, 200) = 200 THEN now_ms ELSE now_ms + 100 END;
    END IF;`;

/** A mark for an id that has no record. */
export const insertMark = (
  kind: string,
  state: string,
  { key = 'NULL', bytes = '0', flag = 'NULL', number = 'NULL' },
): string => `${FORGET_MARKS}
    INSERT INTO quota_ledger_holds
      (tenant_id, kind, id, state, key, bytes, reply_flag, reply_number, deadline)
    VALUES (p_tenant, '${kind}', p_id, '${state}', ${key}, ${bytes}, ${flag}, ${number},
      now_ms + ${MARK_MS});`;

/** The record of an open reservation, which may have lapsed, becomes its mark. */
export const settleMark = (
  state: string,
  flag = 'NULL',
  number = 'NULL',
): string => `${FORGET_MARKS}
    IF r_lapsed THEN
      s.lapsed := s.lapsed - 1;
      s.lapsed_bytes := s.lapsed_bytes - r_bytes;
    END IF;
    UPDATE quota_ledger_holds h SET state = '${state}', reply_flag = ${flag},
      reply_number = ${number}, deadline = now_ms + ${MARK_MS}
    WHERE h.tenant_id = p_tenant AND h.kind = 'write' AND h.id = p_id;`;

/** Reaps what is due, if anything can be. Sets `more` when there is more. */
export const reap = (max: string, own: string): string => `
    IF s.due_at <= now_ms THEN
      SELECT * INTO done FROM quota_ledger_reap(s, now_ms, ${max}, ${own});
      s.committed := done.committed; s.reserved := done.reserved;
      s.unkeyed_reserved := done.unkeyed_reserved; s.due_at := done.due_at;
      s.has_removals := s.has_removals OR (done.expired > 0 AND ${SHARED});
      s.lapsed := s.lapsed + done.kept; s.lapsed_bytes := s.lapsed_bytes + done.kept_bytes;
      s.lapse_number := done.lapse_number; s.unsettled := s.unsettled + done.unknown;
      more := done.more;
    END IF;`;

export const REAPING = `
    done record;
    more boolean := false;`;
