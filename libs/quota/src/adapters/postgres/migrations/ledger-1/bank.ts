import {
  LOCK,
  REAPING,
  REAP_AT_ONCE,
  STATE,
  finish,
  insist,
  isCount,
  isTenant,
  largest,
  ledgerFunction,
  reap,
  reply,
} from './fragments';
import { MAX } from './tables';

const ROOM = `
    room := greatest(s.granted_bytes, least(
      p_hard - s.committed - s.reserved - s.folding_bytes, p_want + p_chunk));`;

/**
 * Gives the other ledger what it wants and a chunk, as far as the limit allows, and never takes back.
 * A number that it knows is confirmed: should it know less later, it has lost its data.
 */
const GRANT = ledgerFunction(
  'quota_ledger_grant',
  `p_tenant text, p_seen bigint, p_want bigint, p_hard bigint, p_chunk bigint, p_rebuilt boolean`,
  'jsonb',
  `${STATE}${REAPING}
    room bigint;`,
  `${insist(`${isTenant} AND ${isCount('p_seen')} AND ${isCount('p_want')}
      AND ${isCount('p_hard')} AND ${isCount('p_chunk')} AND p_rebuilt IS NOT NULL`)}
    LOOP ${LOCK}
    IF s.drop_pending THEN ${reply(`'dropping'`, `'generation', s.generation`)} END IF;
    IF NOT p_rebuilt AND (p_seen < s.confirmed_seq OR (p_seen = 0 AND s.granted_bytes > 0)) THEN
      ${reply(`'lost'`, `'generation', s.generation`)}
    END IF;
    IF NOT known THEN
      INSERT INTO quota_ledger (tenant_id, generation) VALUES (p_tenant, gen_random_uuid())
      ON CONFLICT DO NOTHING RETURNING * INTO s;
      CONTINUE WHEN NOT FOUND;
      known := true;
      was := s;
    END IF;
    ${ROOM}
    IF room < p_want THEN
      ${reap(REAP_AT_ONCE, 'NULL')}${ROOM}
      IF room < p_want AND more THEN ${finish(`'again'`)} END IF;
    END IF;
    s.granted_bytes := room;
    IF p_chunk > 0 THEN s.grant_chunk := p_chunk; END IF;
    -- Beyond what the other ledger knows, should this database have been set back.
    s.grant_seq := greatest(s.grant_seq, p_seen) + 1;
    s.confirmed_seq := CASE WHEN p_rebuilt THEN p_seen ELSE greatest(s.confirmed_seq, p_seen) END;
    ${finish(
      `'granted'`,
      `'generation', s.generation, 'seq', s.grant_seq, 'granted', s.granted_bytes,
      'drawn', s.committed + s.reserved + s.folding_bytes`,
    )}
    END LOOP;`,
);

/**
 * Removals first: what a later batch says of a key must be later than they are. An entry that is in
 * the way of a removal with a version, since it has none, takes over that version.
 */
const FREEZE_REMOVALS = `
      IF s.has_removals THEN
        WITH taken AS (
          DELETE FROM quota_ledger_removals r WHERE r.ctid = ANY (ARRAY(
            SELECT d.ctid FROM quota_ledger_removals d WHERE d.tenant_id = p_tenant
            ORDER BY d.key LIMIT p_max))
          RETURNING r.key, r.version
        )
        INSERT INTO quota_ledger_folds (tenant_id, key, version)
        SELECT p_tenant, t.key, t.version FROM taken t;
        GET DIAGNOSTICS removals = ROW_COUNT;
        s.has_removals := removals = p_max;
      END IF;`;

/** A key with a write on its way stays: what is held for it is reckoned beside its entry. */
const FREEZE_ENTRIES = `
      WITH taken AS (
        DELETE FROM quota_ledger_entries e WHERE e.ctid = ANY (ARRAY(
          SELECT d.ctid FROM quota_ledger_entries d
          WHERE d.tenant_id = p_tenant AND ${largest('p_tenant', 'd.key')} IS NULL
          ORDER BY d.key LIMIT p_max - removals))
        RETURNING e.key, e.bytes, e.expires_at, e.version
      ), put AS (
        INSERT INTO quota_ledger_folds AS f (tenant_id, key, bytes, expires_at, version)
        SELECT p_tenant, t.key, t.bytes, t.expires_at, t.version FROM taken t
        ON CONFLICT (tenant_id, key) DO UPDATE SET bytes = excluded.bytes,
          expires_at = excluded.expires_at, version = greatest(f.version, excluded.version)
      )
      SELECT count(*), coalesce(sum(t.bytes), 0) INTO entries, moved FROM taken t;`;

const BATCH = `'batch', jsonb_build_object('number', s.fold_number, 'generation', s.generation,
      'bytes', s.folding_bytes, 'unkeyed', s.folding_unkeyed, 'refunds', s.folding_refunds,
      'items', (
        SELECT coalesce(jsonb_agg(jsonb_build_array(encode(f.key, 'hex'), f.bytes,
          greatest(f.expires_at - now_ms, CASE WHEN f.expires_at IS NOT NULL THEN 0 END),
          f.version) ORDER BY f.key), '[]')
        FROM quota_ledger_folds f WHERE f.tenant_id = p_tenant))`;

/** The batch under way, or a new one: out of what is committed here, on its way to be granted. */
const FOLD_BEGIN = ledgerFunction(
  'quota_ledger_fold_begin',
  'p_tenant text, p_max bigint',
  'jsonb',
  `${STATE}${REAPING}
    removals bigint := 0; entries bigint := 0; moved bigint := 0;`,
  `${insist(`${isTenant} AND p_max BETWEEN 1 AND 1000`)}${LOCK}
    IF NOT s.folding THEN
      ${reap(REAP_AT_ONCE, 'NULL')}
      IF more THEN ${finish(`'again'`)} END IF;
      ${FREEZE_REMOVALS}
      ${FREEZE_ENTRIES}
      IF removals + entries = 0 AND s.unkeyed = 0 AND s.refunds = 0 THEN
        ${finish(`'none'`)}
      END IF;
      s.folding := true;
      s.fold_number := s.fold_number + 1;
      s.folding_bytes := moved + s.unkeyed;
      s.folding_unkeyed := s.unkeyed;
      s.folding_refunds := s.refunds;
      s.committed := s.committed - s.folding_bytes;
      s.unkeyed := 0;
      s.refunds := 0;
    END IF;
    ${finish(`'batch'`, BATCH)}`,
);

/** The other ledger has the batch, so what it holds of it is granted. Once. */
const FOLD_END = ledgerFunction(
  'quota_ledger_fold_end',
  'p_tenant text, p_number bigint',
  'jsonb',
  STATE,
  `${insist(`${isTenant} AND ${isCount('p_number')}`)}${LOCK}
    IF s.folding AND s.fold_number = p_number THEN
      DELETE FROM quota_ledger_folds f WHERE f.tenant_id = p_tenant;
      s.granted_bytes := least(s.granted_bytes + s.folding_bytes, ${MAX});
      -- What was given back before the batch was taken is not to be taken back after it.
      s.grant_seq := s.grant_seq + 1;
      s.folding := false; s.folding_bytes := 0; s.folding_unkeyed := 0; s.folding_refunds := 0;
    END IF;
    ${finish(`'done'`)}`,
);

/**
 * Takes back what the other ledger has given back of its grant. Only while that is the last word: a
 * later grant, or a batch on its way, may have raised what it holds since.
 */
const LOWER = ledgerFunction(
  'quota_ledger_lower',
  'p_tenant text, p_generation text, p_seq bigint, p_bytes bigint',
  'jsonb',
  STATE,
  `${insist(`${isTenant} AND p_generation IS NOT NULL AND ${isCount('p_seq')}
      AND ${isCount('p_bytes')}`)}${LOCK}
    IF s.generation = p_generation AND s.grant_seq = p_seq AND NOT s.folding AND NOT s.drop_pending
    THEN
      s.granted_bytes := least(s.granted_bytes, p_bytes);
      ${finish(`'lowered'`)}
    END IF;
    ${finish(`'other'`)}`,
);

/** The other ledger's part of a life that has ended is gone. */
const DROPPED = ledgerFunction(
  'quota_ledger_dropped',
  'p_tenant text, p_generation text',
  'jsonb',
  STATE,
  `${insist(`${isTenant} AND p_generation IS NOT NULL`)}${LOCK}
    IF s.drop_pending AND s.generation = p_generation THEN
      s.drop_pending := false;
      s.granted_bytes := 0;
      s.confirmed_seq := 0;
    END IF;
    ${finish(`'done'`)}`,
);

export const BANK_FUNCTIONS = [GRANT, LOWER, FOLD_BEGIN, FOLD_END, DROPPED];
