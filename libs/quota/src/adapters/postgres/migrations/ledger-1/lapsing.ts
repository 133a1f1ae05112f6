import { LOCK, STATE, finish, insist, isTenant, ledgerFunction } from './fragments';
import { takeOut } from './reaping';
import { LAPSED } from './tables';

/** Lapsed reservations go, and what they hold goes back; others of these ids are left alone. */
const LET_GO = ledgerFunction(
  'quota_ledger_let_go',
  'p_tenant text, p_ids text[]',
  'jsonb',
  `${STATE}
    ids text[]; keys bytea[]; gone bigint; gone_bytes numeric;`,
  `${insist(`${isTenant} AND cardinality(p_ids) <= 1000
      AND NOT EXISTS (
        SELECT 1 FROM unnest(p_ids) AS i (id)
        WHERE id IS NULL OR octet_length(id) NOT BETWEEN 1 AND 128)`)}${LOCK}
    SELECT array_agg(g.id), coalesce(array_agg(DISTINCT g.key), '{}'), count(*),
      coalesce(sum(g.bytes), 0)
    INTO ids, keys, gone, gone_bytes FROM (
      SELECT DISTINCT w.id, h.key, h.bytes FROM unnest(p_ids) AS w (id)
      CROSS JOIN LATERAL (
        SELECT r.state, r.key, r.bytes, r.deadline FROM quota_ledger_holds r
        WHERE r.tenant_id = p_tenant AND r.kind = 'write' AND r.id = w.id LIMIT 1
      ) h
      WHERE s.lapsed > 0 AND h.state = 'open' AND h.deadline >= ${LAPSED}
    ) g;
    IF gone > 0 THEN${takeOut('s.reserved')}
      s.lapsed := s.lapsed - gone;
      s.lapsed_bytes := s.lapsed_bytes - gone_bytes;
    END IF;
    ${finish(`'done'`, `'gone', gone`)}`,
);

export const LAPSING_FUNCTIONS = [LET_GO];
