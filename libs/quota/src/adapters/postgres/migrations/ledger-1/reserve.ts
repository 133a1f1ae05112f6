import {
  KEY_STATE,
  LOCK,
  REAPING,
  REAP_ALONG,
  REAP_AT_ONCE,
  STATE,
  finish,
  held,
  insist,
  isCount,
  isDuration,
  isId,
  isKeyOrNone,
  isTenant,
  ledgerFunction,
  readKey,
  reap,
  reply,
} from './fragments';
import { ELSEWHERE } from './journal';
import { MAX } from './tables';

/** What is another ledger's, or on its way to it, is not there to be admitted here. */
const LIMITS = `
    hard := greatest(p_hard - ${ELSEWHERE}, 0);
    quota := least(p_quota, hard);`;

/** The one rule, for a write whose own size is not among the open ones yet. */
const DECIDE = `
      exposure := greatest(coalesce(live, 0), coalesce(top, 0));
      grows := p_bytes > CASE WHEN p_key IS NULL THEN 0 ELSE exposure END;
      used_after := s.committed + s.reserved + CASE WHEN p_key IS NULL THEN p_bytes
        ELSE greatest(p_bytes, coalesce(top, 0)) - exposure END;
      decision := CASE
        WHEN used_after <= quota THEN 0 WHEN used_after <= hard OR NOT grows THEN 1 ELSE 2 END;`;

/**
 * A change of the quota holds for the next request, though no request with it has come yet and whoever
 * tells of changes is away. A statement of its own, so that it sees what was changed during the wait.
 */
const REFUSE_STALE = `
    newest := greatest(s.stamp,
      (SELECT max(c.id) FROM quota_changes c WHERE c.tenant_id = p_tenant));
    IF p_stamp < newest THEN ${reply(`'stale'`, `'stamp', newest`)} END IF;`;

/**
 * A refusal must be true at this moment: before one, or a warning, all that is due goes. What has
 * lapsed may be nothing: where there is room without it, nothing is decided.
 */
const judge = (onceRead = ''): string => `${LIMITS}
    FOR pass IN 1..2 LOOP
      ${readKey('write')}${onceRead}${DECIDE}
      EXIT WHEN pass = 2 OR decision = 0 OR coalesce(s.due_at > now_ms, true);
      ${reap(REAP_AT_ONCE, 'p_id')}
    END LOOP;
    IF decision = 2 AND more THEN ${finish(`'again'`)} END IF;
    IF decision = 2 AND p_enforce THEN
      IF used_after - s.lapsed_bytes <= hard THEN ${finish(`'undecided'`)} END IF;
      ${finish(
        `'rejected'`,
        `'usedAfter', least(used_after, ${MAX}),
        'retryAfter', quota_ledger_retry_after(s, p_key, used_after - hard, now_ms)`,
      )}
    END IF;
    IF greatest(used_after, s.committed + s.reserved) > ${MAX} - s.folding_bytes THEN ${finish(`'beyond'`)} END IF;`;

/** Sent before: the answer from the present state, the decision as recorded, nothing held twice. */
const RECALL = `
    IF r_state IS NOT NULL THEN
      IF (r_key IS DISTINCT FROM p_key OR (r_bytes <> p_bytes AND r_decision IS NOT NULL))
        AND (r_decision IS NOT NULL OR r_state <> 'released')
      THEN ${finish(`'conflict'`)} END IF;
      used_after := s.committed + s.reserved;
      IF r_state = 'open' AND p_key IS NOT NULL THEN
        used_after := used_after - greatest(coalesce(live, 0), coalesce(top, 0))
          + greatest(p_bytes, coalesce(others, 0));
      END IF;
      ${finish(
        `'reserved'`,
        `'usedAfter', used_after,
        'decision', coalesce(r_decision, 0), 'generation', s.generation`,
      )}
    END IF;`;

const DECLARE = `${STATE}${KEY_STATE}${REAPING}
    newest bigint; quota bigint; hard bigint; exposure bigint; used_after bigint; grows boolean; decision smallint;`;

const ARGUMENTS = `${isTenant} AND ${isKeyOrNone} AND ${isCount('p_bytes')}
      AND ${isCount('p_quota')} AND ${isCount('p_hard')} AND p_quota <= p_hard
      AND ${isCount('p_stamp')} AND p_enforce IS NOT NULL`;

/** Decides on a write and holds its bytes. The loop meets a tenant that another call made meanwhile. */
const RESERVE = ledgerFunction(
  'quota_ledger_reserve',
  `p_tenant text, p_id text, p_key bytea, p_bytes bigint, p_quota bigint, p_hard bigint,
    p_stamp bigint, p_enforce boolean, p_hold_ms bigint, p_keep boolean`,
  'jsonb',
  DECLARE,
  `${insist(`${ARGUMENTS} AND ${isId} AND ${isDuration('p_hold_ms')} AND p_keep IS NOT NULL`)}
    LOOP ${LOCK}
    more := false;
    ${REFUSE_STALE}
    ${reap(REAP_ALONG, 'p_id')}
    ${judge(`${RECALL}
      IF known THEN s.stamp := p_stamp; END IF;`)}
    IF NOT known THEN
      INSERT INTO quota_ledger (tenant_id, generation, stamp)
      VALUES (p_tenant, gen_random_uuid(), p_stamp) ON CONFLICT DO NOTHING
      RETURNING * INTO s;
      CONTINUE WHEN NOT FOUND;
      known := true;
      was := s;
    END IF;
    INSERT INTO quota_ledger_holds
      (tenant_id, kind, id, state, key, bytes, decision, deadline, keep)
    VALUES (p_tenant, 'write', p_id, 'open', p_key, p_bytes, decision, now_ms + p_hold_ms,
      p_keep);
    IF p_key IS NULL THEN
      s.reserved := s.reserved + p_bytes;
      s.unkeyed_reserved := s.unkeyed_reserved + p_bytes;
    ELSE
      s.reserved := s.reserved + ${held('p_bytes', 'exposure')};
    END IF;
    s.due_at := least(s.due_at, now_ms + p_hold_ms);
    ${finish(
      `'reserved'`,
      `'usedAfter', used_after, 'decision', decision,
      'generation', s.generation`,
    )}
    END LOOP;`,
);

/** The verdict reserve would give; nothing is held or recorded, but what is due is reaped. */
const CHECK = ledgerFunction(
  'quota_ledger_check',
  `p_tenant text, p_key bytea, p_bytes bigint, p_quota bigint, p_hard bigint,
    p_stamp bigint, p_enforce boolean`,
  'jsonb',
  `${DECLARE}
    p_id text := NULL;`,
  `${insist(ARGUMENTS)}${LOCK}
    ${REFUSE_STALE}
    ${reap(REAP_ALONG, 'NULL')}
    ${judge()}
    ${finish(
      `'reserved'`,
      `'usedAfter', used_after, 'decision', decision,
      'generation', s.generation`,
    )}`,
);

export const RESERVE_FUNCTIONS = [RESERVE, CHECK];
