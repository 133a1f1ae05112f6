import {
  FORGET_VERSION,
  KEY_STATE,
  LOCK,
  REAPING,
  REAP_AT_ONCE,
  STATE,
  finish,
  held,
  insertMark,
  insist,
  isCount,
  isCountOrNone,
  isDuration,
  isId,
  isKeyOrNone,
  isTenant,
  ledgerFunction,
  noteVersion,
  readKey,
  reap,
  settleMark,
} from './fragments';
import { ELSEWHERE, JOURNALED_VERSION, overrideRemoval } from './journal';
import { MAX } from './tables';

/** An id that is known already: its answer again, or an error. */
const KNOWN = `
      IF r_state = 'released' THEN ${finish(`'bounced'`)} END IF;
      IF r_state IS NOT NULL AND r_key IS DISTINCT FROM p_key THEN ${finish(`'conflict'`)} END IF;
      IF r_state = 'committed' THEN
        ${finish(`'committed'`, `'replaced', r_flag, 'expiresAt', r_number`)}
      END IF;
      IF r_state = 'refused' THEN ${finish(`'refused'`)} END IF;`;

/** More than is held is admitted like a new write; its own hold, if any, is not counted twice. */
const FORECAST = `
      own := CASE WHEN r_state = 'open' THEN r_bytes END;${JOURNALED_VERSION}
      outdated := p_key IS NOT NULL AND coalesce(
        p_version < greatest(seen, live_version, journaled), false);
      EXIT WHEN outdated OR p_bytes <= own;
      exposure := greatest(coalesce(live, 0), coalesce(top, 0));
      used_after := s.committed + s.reserved + CASE
        WHEN p_key IS NULL THEN p_bytes - coalesce(own, 0)
        ELSE greatest(p_bytes, coalesce(others, 0)) - exposure END;
      grows := p_bytes > CASE WHEN p_key IS NULL THEN coalesce(own, 0) ELSE exposure END;
      hard := greatest(p_hard - ${ELSEWHERE}, 0);
      refused := p_enforce AND grows AND used_after > hard;`;

/** What is held for this write goes; `others` and the entry say what stays held for its key. */
const freeHold = (entry: string): string => `
    IF p_key IS NOT NULL THEN
      s.reserved := s.reserved - ${held('top', 'live')} + ${held('others', entry)};
    ELSIF own IS NOT NULL THEN
      s.reserved := s.reserved - own;
      s.unkeyed_reserved := s.unkeyed_reserved - own;
    END IF;`;

/** What has lapsed, but for this one, may be nothing: where there is room without it, no refusal. */
const REFUSE = `
    IF refused THEN
      IF more THEN ${finish(`'again'`)} END IF;
      IF used_after - s.lapsed_bytes + (CASE WHEN r_lapsed THEN own ELSE 0 END) <= hard THEN
        ${finish(`'undecided'`)}
      END IF;
      ${freeHold('live')}${FORGET_VERSION}
      IF own IS NULL THEN ${insertMark('write', 'refused', { key: 'p_key', bytes: 'p_bytes' })}
      ELSE ${settleMark('refused')} END IF;
      ${finish(`'refused'`)}
    END IF;
    IF used_after > ${MAX} - s.folding_bytes THEN ${finish(`'beyond'`)} END IF;`;

const PLACE = `
    IF outdated THEN
      until := live_until;
      ${freeHold('live')}
    ELSIF p_key IS NULL THEN
      ${freeHold('live')}
      s.committed := s.committed + p_bytes;
      s.unkeyed := s.unkeyed + p_bytes;
    ELSE
      ${freeHold('p_bytes')}
      ${noteVersion('others')}
      until := now_ms + p_ttl_ms;
      s.committed := s.committed + p_bytes - coalesce(live, 0);
      INSERT INTO quota_ledger_entries AS e (tenant_id, key, bytes, expires_at, version)
      VALUES (p_tenant, p_key, p_bytes, until, coalesce(p_version, 0))
      ON CONFLICT (tenant_id, key) DO UPDATE SET
        bytes = excluded.bytes, expires_at = excluded.expires_at, version = excluded.version;
      s.due_at := least(s.due_at, until);
      ${overrideRemoval('p_key', 'p_version')}
    END IF;
    ${FORGET_VERSION}`;

/** Turns a hold into an entry, or frees it. */
const COMMIT = ledgerFunction(
  'quota_ledger_commit',
  `p_tenant text, p_id text, p_key bytea, p_bytes bigint, p_hard bigint, p_enforce boolean,
    p_generation text, p_ttl_ms bigint, p_version bigint`,
  'jsonb',
  `${STATE}${KEY_STATE}${REAPING}
    own bigint; outdated boolean; exposure bigint; used_after bigint := 0; grows boolean;
    hard bigint; refused boolean := false; until bigint; journaled bigint;`,
  `${insist(`${isTenant} AND ${isId} AND ${isKeyOrNone} AND ${isCount('p_bytes')}
      AND ${isCount('p_hard')} AND p_enforce IS NOT NULL AND p_generation IS NOT NULL
      AND (p_ttl_ms IS NULL OR ${isDuration('p_ttl_ms')}) AND ${isCountOrNone('p_version')}`)}
    ${LOCK}
    IF NOT known OR s.generation <> p_generation THEN ${finish(`'bounced'`)} END IF;
    FOR pass IN 1..2 LOOP
      ${readKey('write')}${KNOWN}${FORECAST}
      EXIT WHEN pass = 2 OR NOT refused OR coalesce(s.due_at > now_ms, true);
      ${reap(REAP_AT_ONCE, 'p_id')}
      refused := false;
    END LOOP;
    ${REFUSE}${PLACE}
    IF own IS NULL THEN
      ${insertMark('write', 'committed', {
        key: 'p_key',
        bytes: 'p_bytes',
        flag: 'live IS NOT NULL',
        number: 'until',
      })}
    ELSE ${settleMark('committed', 'live IS NOT NULL', 'until')} END IF;
    ${finish(`'committed'`, `'replaced', live IS NOT NULL, 'expiresAt', until`)}`,
);

export const COMMIT_FUNCTIONS = [COMMIT];
