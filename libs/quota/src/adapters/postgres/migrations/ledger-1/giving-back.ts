import {
  FORGET_VERSION,
  KEY_STATE,
  LOCK,
  STATE,
  finish,
  held,
  insertMark,
  insist,
  isCount,
  isCountOrNone,
  isId,
  isKey,
  isTenant,
  ledgerFunction,
  noteVersion,
  readKey,
  reply,
  settleMark,
} from './fragments';
import { SHARED, journalRemoval } from './journal';
import { MAX } from './tables';

/**
 * Gives a hold back. An id never seen is marked too, so that a reserve that comes late holds nothing.
 * The record says the key, which is then looked at.
 */
const RELEASE = ledgerFunction(
  'quota_ledger_release',
  'p_tenant text, p_id text',
  'jsonb',
  `${STATE}${KEY_STATE}
    p_key bytea;`,
  `${insist(`${isTenant} AND ${isId}`)}${LOCK}
    IF NOT known THEN ${reply(`'settled'`)} END IF;
    SELECT h.key INTO p_key FROM quota_ledger_holds h
    WHERE h.tenant_id = p_tenant AND h.kind = 'write' AND h.id = p_id;
    ${readKey('write')}
    IF r_state IS NULL THEN ${insertMark('write', 'released', {})} END IF;
    IF r_state IS DISTINCT FROM 'open' THEN ${finish(`'settled'`)} END IF;
    IF p_key IS NULL THEN
      s.reserved := s.reserved - r_bytes;
      s.unkeyed_reserved := s.unkeyed_reserved - r_bytes;
    ELSE
      s.reserved := s.reserved - ${held('top', 'live')} + ${held('others', 'live')};
    END IF;
    ${FORGET_VERSION}${settleMark('released')}
    ${finish(`'released'`)}`,
);

/**
 * Removes an entry and gives its bytes back; what an open write of the key holds stays held. Another
 * ledger may have the key too, or alone; a newer entry here tells it all it has to know.
 */
const REMOVE = ledgerFunction(
  'quota_ledger_remove',
  'p_tenant text, p_id text, p_key bytea, p_version bigint',
  'jsonb',
  `${STATE}${KEY_STATE}
    removed boolean;`,
  `${insist(`${isTenant} AND ${isId} AND ${isKey} AND ${isCountOrNone('p_version')}`)}${LOCK}
    IF NOT known THEN ${reply(`'done'`, `'removed', false, 'freed', 0`)} END IF;
    ${readKey('remove')}
    IF r_key <> p_key THEN ${finish(`'conflict'`)} END IF;
    IF r_state IS NOT NULL THEN
      ${finish(`'done'`, `'removed', r_flag, 'freed', r_number`)}
    END IF;
    removed := live IS NOT NULL AND coalesce(p_version >= live_version, true);
    ${noteVersion('top')}
    IF removed THEN
      DELETE FROM quota_ledger_entries e WHERE e.tenant_id = p_tenant AND e.key = p_key;
      s.committed := s.committed - live;
      s.reserved := s.reserved + least(live, coalesce(top, 0));
    ELSE
      live := 0;
    END IF;
    IF removed OR live_version IS NULL THEN
      ${journalRemoval('greatest(p_version, live_version, 0)')}
    END IF;
    ${insertMark('remove', 'removed', { key: 'p_key', flag: 'removed', number: 'live' })}
    ${finish(`'done'`, `'removed', removed, 'freed', live`)}`,
);

/** Gives back bytes that were charged without a key, at most what is there or may be elsewhere. */
const REFUND = ledgerFunction(
  'quota_ledger_refund',
  'p_tenant text, p_id text, p_bytes bigint',
  'jsonb',
  `${STATE}
    r_bytes bigint; freed bigint; elsewhere bigint;`,
  `${insist(`${isTenant} AND ${isId} AND ${isCount('p_bytes')}`)}${LOCK}
    IF NOT known THEN ${reply(`'done'`, `'freed', 0`)} END IF;
    SELECT h.bytes, h.reply_number INTO r_bytes, freed FROM quota_ledger_holds h
    WHERE h.tenant_id = p_tenant AND h.kind = 'refund' AND h.id = p_id;
    IF r_bytes <> p_bytes THEN ${finish(`'conflict'`)} END IF;
    IF r_bytes IS NULL THEN
      freed := least(p_bytes, s.unkeyed);
      s.committed := s.committed - freed;
      s.unkeyed := s.unkeyed - freed;
      IF ${SHARED} THEN
        elsewhere := least(p_bytes - freed, ${MAX} - s.refunds);
        s.refunds := s.refunds + elsewhere;
        freed := freed + elsewhere;
      END IF;
      ${insertMark('refund', 'refunded', { bytes: 'p_bytes', number: 'freed' })}
    END IF;
    ${finish(`'done'`, `'freed', freed`)}`,
);

export const GIVING_BACK_FUNCTIONS = [RELEASE, REMOVE, REFUND];
