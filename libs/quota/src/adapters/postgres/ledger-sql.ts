import type { LedgerOperation } from './ledger-replies';
import { LAPSED } from './migrations/ledger-1/tables';

// Statements of the ledger. Parameters only; the functions are made by the migrations.

const WRITE = ['bytea', 'bigint', 'bigint', 'bigint', 'bigint', 'boolean'];

/** What each function takes, after the tenant. */
const PARAMETERS: Readonly<Record<LedgerOperation, readonly string[]>> = {
  reserve: ['text', ...WRITE, 'bigint', 'boolean'],
  check: WRITE,
  commit: ['text', 'bytea', 'bigint', 'bigint', 'boolean', 'text', 'bigint', 'bigint'],
  release: ['text'],
  remove: ['text', 'bytea', 'bigint'],
  refund: ['text', 'bigint'],
  read: [],
  sweep: ['bigint'],
  settled: ['bigint'],
  let_go: ['text[]'],
  drop: ['text'],
  recount: [],
  correct: ['bytea[]', 'bigint[]', 'bigint[]', 'bigint[]', 'bigint[]', 'bigint[]'],
  grant: ['bigint', 'bigint', 'bigint', 'bigint', 'boolean'],
  lower: ['text', 'bigint', 'bigint'],
  fold_begin: ['bigint'],
  fold_end: ['bigint'],
  dropped: ['text'],
};

/**
 * Calls functions for one tenant, in one statement and so in one transaction. $1 tenant, then what each
 * takes; replies are the columns `0`, `1`, … in the order of the operations.
 */
export function callsOf(operations: readonly LedgerOperation[]): string {
  const [first, ...more] = operations;
  const alone = first === undefined || more.length > 0 ? undefined : ALONE.get(first);
  return alone ?? textOf(operations);
}

function textOf(operations: readonly LedgerOperation[]): string {
  let last = 1;
  const call = (operation: LedgerOperation, i: number): string => {
    const rest = PARAMETERS[operation].map((type) => `, $${String(++last)}::${type}`);
    return `quota_ledger_${operation}($1::text${rest.join('')}) AS "${String(i)}"`;
  };
  return `SELECT ${operations.map(call).join(', ')}`;
}

/** Made once: a call that nothing waits behind goes by itself. */
const ALONE: ReadonlyMap<LedgerOperation, string> = new Map(
  (Object.keys(PARAMETERS) as LedgerOperation[]).map((operation) => [
    operation,
    textOf([operation]),
  ]),
);

const LIVE = `coalesce(e.expires_at > extract(epoch FROM clock_timestamp()) * 1000, true)`;

/** What has lapsed is no write on its way. Asked so that the index of the deadlines is of no use. */
const PENDING = (key: string): string => `(
    SELECT h.bytes FROM quota_ledger_holds h
    WHERE h.tenant_id = $1 AND h.key = ${key} AND h.state = 'open'
      AND (NOT h.keep OR h.deadline < ${LAPSED})
    ORDER BY h.bytes DESC LIMIT 1) IS NOT NULL AS pending`;

/**
 * A page of tenants by name. What is due is asked for row by row, which needs no index on a column
 * that every write would change. $1 after, $2 limit
 */
export const TENANTS = `
  SELECT l.tenant_id, l.unsettled > 0 OR l.lapsed > 0
    OR coalesce(least(l.due_at, nullif(l.marks_at, 0))
      <= extract(epoch FROM clock_timestamp()) * 1000, false) AS due
  FROM quota_ledger l WHERE l.tenant_id > $1 ORDER BY l.tenant_id LIMIT $2`;

/** In the order in which they lapsed. $1 tenant, $2 after, $3 limit */
export const LAPSED_HOLDS = `
  SELECT h.id, h.key, h.bytes, h.deadline - ${LAPSED} AS number FROM quota_ledger_holds h
  WHERE h.tenant_id = $1 AND h.state = 'open' AND h.deadline > ${LAPSED} + $2::bigint
  ORDER BY h.deadline LIMIT $3`;

/** $1 tenant */
export const STANDING = `
  SELECT l.generation, l.granted_bytes AS granted,
    l.committed + l.reserved + l.folding_bytes AS drawn, l.pending,
    l.drop_pending AS dropping, l.fold_number AS batches
  FROM quota_ledger l WHERE l.tenant_id = $1`;

/** $1 after, $2 limit */
export const PENDING_TENANTS = `
  SELECT l.tenant_id FROM quota_ledger l WHERE l.pending AND l.tenant_id > $1
  ORDER BY l.tenant_id LIMIT $2`;

/**
 * How long the journal is: no part of it is counted beyond $2. What has no key counts once for each
 * tenant. $1 after, $2 most
 */
export const JOURNAL = `
  WITH waiting AS MATERIALIZED (
    SELECT l.tenant_id, l.drop_pending OR l.refunds + l.unkeyed > 0
      OR l.folding_refunds + l.folding_unkeyed > 0 AS has_unkeyed
    FROM quota_ledger l WHERE l.pending AND l.tenant_id > $1
    ORDER BY l.tenant_id LIMIT $2
  ), counted AS (
    SELECT
      (SELECT count(*) FROM waiting) AS tenants,
      (SELECT count(*) FROM waiting WHERE has_unkeyed)
      + (SELECT count(*) FROM (
        SELECT 1 FROM waiting JOIN quota_ledger_entries USING (tenant_id) LIMIT $2) e)
      + (SELECT count(*) FROM (
        SELECT 1 FROM waiting JOIN quota_ledger_removals USING (tenant_id) LIMIT $2) r)
      + (SELECT count(*) FROM (
        SELECT 1 FROM waiting JOIN quota_ledger_folds USING (tenant_id) LIMIT $2) f) AS entries
  )
  SELECT tenants::int, least(entries, $2)::int AS entries FROM counted`;

/** $1 after, $2 limit */
export const LOWERABLE_TENANTS = `
  SELECT l.tenant_id, l.granted_bytes AS granted, l.grant_chunk AS chunk FROM quota_ledger l
  WHERE l.granted_bytes > l.grant_chunk AND l.tenant_id > $1 ORDER BY l.tenant_id LIMIT $2`;

/** Expired ones too, so that a page can be told from the end. $1 tenant, $2 after, $3 limit */
export const ENTRIES = `
  SELECT e.key, e.bytes, e.expires_at, e.version, ${LIVE} AS live, ${PENDING('e.key')}
  FROM quota_ledger_entries e WHERE e.tenant_id = $1 AND e.key > $2::bytea
  ORDER BY e.key LIMIT $3`;

/**
 * Key by key: a join of both sides would read all the tenant's entries for a few keys. LIMIT keeps
 * the planner from making one of it. $1 tenant, $2 keys
 */
export const LOOKUP = `
  SELECT wanted.key, e.bytes, e.expires_at, e.version,
    e.key IS NOT NULL AND ${LIVE} AS live, ${PENDING('wanted.key')}
  FROM unnest($2::bytea[]) WITH ORDINALITY AS wanted (key, position)
  LEFT JOIN LATERAL (
    SELECT * FROM quota_ledger_entries f
    WHERE f.tenant_id = $1 AND f.key = wanted.key LIMIT 1
  ) e ON true
  ORDER BY wanted.position`;
