import {
  LOCK,
  REAPING,
  REAP_AT_ONCE,
  STATE,
  finish,
  insist,
  isCount,
  isTenant,
  held,
  largest,
  largestOnItsWay,
  ledgerFunction,
  reap,
  reply,
} from './fragments';
import { journalRemoval, overrideRemoval } from './journal';
import { LAPSED, MAX } from './tables';

/**
 * Reaps at most so many expired entries and as many reservations past their deadlines, `more` when
 * there are more; and forgets old marks, so that a tenant at rest is not due again. `lapsed`: some are
 * held yet.
 */
const SWEEP = ledgerFunction(
  'quota_ledger_sweep',
  'p_tenant text, p_max bigint',
  'jsonb',
  `${STATE}${REAPING}
    expired integer := 0; overdue integer := 0;`,
  `${insist(`${isTenant} AND ${isCount('p_max')}`)}${LOCK}
    IF s.due_at <= now_ms THEN
      ${reap(`least(p_max, ${REAP_AT_ONCE})`, 'NULL')}
      expired := done.expired; overdue := done.overdue;
    END IF;
    IF known AND s.marks_at > 0 THEN
      PERFORM quota_ledger_forget(p_tenant, now_ms, least(p_max, ${REAP_AT_ONCE}));
      s.marks_at := coalesce((SELECT h.deadline FROM quota_ledger_holds h
        WHERE h.tenant_id = p_tenant AND h.state <> 'open' ORDER BY h.deadline LIMIT 1), 0);
    END IF;
    ${finish(
      `CASE WHEN more THEN 'more' ELSE 'done' END`,
      `'expired', expired, 'overdue', overdue, 'lapsed', s.lapsed > 0,
      'freed', was.committed + was.reserved - s.committed - s.reserved, 'unsettled', s.unsettled`,
    )}`,
);

/** Lowers the number of what is unsettled, by at most so many. */
const SETTLED = ledgerFunction(
  'quota_ledger_settled',
  'p_tenant text, p_count bigint',
  'jsonb',
  STATE,
  `${insist(`${isTenant} AND ${isCount('p_count')}`)}${LOCK}
    s.unsettled := greatest(s.unsettled - p_count, 0);
    ${finish(`'done'`, `'lowered', was.unsettled - s.unsettled`)}`,
);

/** The numbers, with nothing due in them. Where nothing is, no lock is taken. */
const READ = ledgerFunction(
  'quota_ledger_read',
  'p_tenant text',
  'jsonb',
  `${STATE}${REAPING}`,
  `${insist(isTenant)}
    SELECT * INTO s FROM quota_ledger l WHERE l.tenant_id = p_tenant;
    IF FOUND AND coalesce(s.due_at > extract(epoch FROM clock_timestamp()) * 1000, true)
    THEN ${reply(`'done'`)} END IF;
    ${LOCK}${reap(REAP_AT_ONCE, 'NULL')}
    ${finish(`CASE WHEN more THEN 'more' ELSE 'done' END`)}`,
);

/**
 * Ends this life of the tenant: a new generation, everything else gone, the stamp kept. What was
 * granted stays granted until the other ledger's part is gone, and it may have the batch under way.
 */
const DROP = ledgerFunction(
  'quota_ledger_drop',
  'p_tenant text, p_generation text',
  'jsonb',
  STATE,
  `${insist(`${isTenant} AND octet_length(p_generation) BETWEEN 1 AND 128`)}${LOCK}
    IF known AND s.generation <> p_generation THEN
      DELETE FROM quota_ledger_entries e WHERE e.tenant_id = p_tenant;
      DELETE FROM quota_ledger_holds h WHERE h.tenant_id = p_tenant;
      DELETE FROM quota_ledger_versions v WHERE v.tenant_id = p_tenant;
      DELETE FROM quota_ledger_removals r WHERE r.tenant_id = p_tenant;
      DELETE FROM quota_ledger_folds f WHERE f.tenant_id = p_tenant;
      s.drop_pending := s.drop_pending OR s.folding OR s.granted_bytes > 0;
      s.granted_bytes := least(s.granted_bytes + s.folding_bytes, ${MAX});
      s.folding := false; s.folding_bytes := 0; s.folding_unkeyed := 0; s.folding_refunds := 0;
      s.refunds := 0; s.has_removals := false;
      s.generation := p_generation; s.committed := 0; s.reserved := 0;
      s.unkeyed := 0; s.unkeyed_reserved := 0; s.due_at := NULL; s.marks_at := 0;
      s.lapsed := 0; s.lapsed_bytes := 0;
      -- A write of this life may have been stored for the next one to count.
      s.unsettled := s.unsettled + 1;
    END IF;
    ${finish(`'done'`)}`,
);

/** Counts everything anew; the tenant's row is held meanwhile, so that it is exact under traffic. */
const RECOUNT = ledgerFunction(
  'quota_ledger_recount',
  'p_tenant text',
  'jsonb',
  `${STATE}${REAPING}
    counted bigint; keyed bigint; drift bigint := 0;`,
  `${insist(isTenant)}${LOCK}${reap(REAP_AT_ONCE, 'NULL')}
    IF more THEN ${finish(`'more'`)} END IF;
    IF known THEN
      SELECT coalesce(sum(e.bytes), 0) INTO counted FROM quota_ledger_entries e
      WHERE e.tenant_id = p_tenant;
      SELECT coalesce(sum(h.bytes), 0) INTO s.unkeyed_reserved FROM quota_ledger_holds h
      WHERE h.tenant_id = p_tenant AND h.state = 'open' AND h.key IS NULL;
      SELECT quota_ledger_holds_of(p_tenant, coalesce(array_agg(DISTINCT h.key), '{}')) INTO keyed
      FROM quota_ledger_holds h
      WHERE h.tenant_id = p_tenant AND h.state = 'open' AND h.key IS NOT NULL;
      SELECT count(*), coalesce(sum(h.bytes), 0) INTO s.lapsed, s.lapsed_bytes
      FROM quota_ledger_holds h
      WHERE h.tenant_id = p_tenant AND h.state = 'open' AND h.deadline >= ${LAPSED};
      drift := s.committed - counted - s.unkeyed;
      s.committed := counted + s.unkeyed;
      s.reserved := keyed + s.unkeyed_reserved;
    END IF;
    ${finish(`'done'`, `'drift', drift`)}`,
);

/**
 * Sets entries to what the storage really holds, each only where the ledger is as it was seen and no
 * write of the key is on its way; what has lapsed holds beside the entry what that leaves of it.
 * Beyond 2^53 − 1 it fails, and nothing of it is done.
 */
const CORRECT = ledgerFunction(
  'quota_ledger_correct',
  `p_tenant text, p_keys bytea[], p_bytes bigint[], p_expires bigint[], p_versions bigint[],
    p_seen_bytes bigint[], p_seen_versions bigint[]`,
  'jsonb',
  `${STATE}
    live bigint; live_until bigint; live_version bigint; next bigint; top bigint;
    applied integer := 0; delta bigint := 0;`,
  `${insist(`${isTenant} AND cardinality(p_keys) <= 1000
      AND cardinality(p_bytes) = cardinality(p_keys)
      AND cardinality(p_expires) = cardinality(p_keys)
      AND cardinality(p_versions) = cardinality(p_keys)
      AND cardinality(p_seen_bytes) = cardinality(p_keys)
      AND cardinality(p_seen_versions) = cardinality(p_keys)
      AND NOT EXISTS (
        SELECT 1 FROM unnest(p_keys, p_bytes, p_expires, p_versions) AS c (k, b, x, v)
        WHERE k IS NULL OR octet_length(k) NOT BETWEEN 1 AND 512 OR b NOT BETWEEN 0 AND ${MAX}
          OR x NOT BETWEEN 0 AND ${MAX} OR v NOT BETWEEN 0 AND ${MAX})`)}
    LOOP ${LOCK}
      EXIT WHEN known OR NOT EXISTS (
        SELECT 1 FROM unnest(p_bytes, p_expires, p_seen_bytes) AS c (b, x, seen)
        WHERE b IS NOT NULL AND seen IS NULL AND coalesce(x > now_ms, true));
      INSERT INTO quota_ledger (tenant_id, generation) VALUES (p_tenant, gen_random_uuid())
      ON CONFLICT DO NOTHING;
    END LOOP;
    FOR i IN 1..cardinality(p_keys) LOOP
      CONTINUE WHEN NOT known OR ${largestOnItsWay('p_tenant', 'p_keys[i]')} IS NOT NULL;
      top := CASE WHEN s.lapsed > 0 THEN ${largest('p_tenant', 'p_keys[i]')} END;
      SELECT e.bytes, e.expires_at, e.version INTO live, live_until, live_version
      FROM quota_ledger_entries e WHERE e.tenant_id = p_tenant AND e.key = p_keys[i];
      IF live_until <= now_ms THEN
        DELETE FROM quota_ledger_entries e WHERE e.tenant_id = p_tenant AND e.key = p_keys[i];
        s.committed := s.committed - live;
        s.reserved := s.reserved + least(live, coalesce(top, 0));
        ${journalRemoval('live_version', 'p_keys[i]')}
        live := NULL; live_version := NULL;
      END IF;
      CONTINUE WHEN live IS DISTINCT FROM p_seen_bytes[i]
        OR live_version IS DISTINCT FROM p_seen_versions[i]
        OR (live IS NULL AND p_bytes[i] IS NULL);
      next := CASE WHEN coalesce(p_expires[i] > now_ms, true) THEN p_bytes[i] END;
      IF next IS NULL THEN
        DELETE FROM quota_ledger_entries e WHERE e.tenant_id = p_tenant AND e.key = p_keys[i];
        ${journalRemoval('coalesce(live_version, 0)', 'p_keys[i]')}
      ELSE
        INSERT INTO quota_ledger_entries AS e (tenant_id, key, bytes, expires_at, version)
        VALUES (p_tenant, p_keys[i], next, p_expires[i], coalesce(p_versions[i], 0))
        ON CONFLICT (tenant_id, key) DO UPDATE SET
          bytes = excluded.bytes, expires_at = excluded.expires_at, version = excluded.version;
        s.due_at := least(s.due_at, p_expires[i]);
        ${overrideRemoval('p_keys[i]', 'p_versions[i]')}
      END IF;
      applied := applied + 1;
      delta := delta + coalesce(next, 0) - coalesce(live, 0);
      s.committed := s.committed + coalesce(next, 0) - coalesce(live, 0);
      s.reserved := s.reserved + ${held('top', 'next')} - ${held('top', 'live')};
      IF s.committed + s.reserved + s.folding_bytes > ${MAX} THEN
        RAISE EXCEPTION 'the sums would leave the exact numbers' USING ERRCODE = '22003';
      END IF;
    END LOOP;
    ${finish(`'done'`, `'applied', applied, 'delta', delta`)}`,
);

export const UPKEEP_FUNCTIONS = [SWEEP, SETTLED, READ, DROP, RECOUNT, CORRECT];
