import type { DataSource } from 'typeorm';

export interface LedgerAudit {
  readonly committed: number;
  readonly reserved: number;
  readonly unkeyedReserved: number;
  readonly trueCommitted: number;
  readonly trueReserved: number;
  readonly trueUnkeyedReserved: number;
  /** Entries and open reservations that fall due before the row says anything does. */
  readonly overlooked: number;
  /** Versions remembered for keys without an open reservation. */
  readonly leftVersions: number;
  readonly open: number;
  /** Open ones that have lapsed, and their sizes. */
  readonly lapsed: number;
  readonly lapsedBytes: number;
  readonly trueLapsed: number;
  readonly trueLapsedBytes: number;
}

/** Where the deadlines of what has lapsed begin. */
const LAPSED = 2 ** 52;

/**
 * Adds up a tenant's rows on its own, in one plain statement: none of the ledger's functions has a
 * part in it.
 */
const AUDIT = `
  WITH tops AS (
    SELECT key, max(bytes) AS largest FROM quota_ledger_holds
    WHERE tenant_id = $1 AND state = 'open' AND key IS NOT NULL GROUP BY key
  ), loose AS (
    SELECT coalesce(sum(bytes), 0) AS bytes FROM quota_ledger_holds
    WHERE tenant_id = $1 AND state = 'open' AND key IS NULL
  ), late AS (
    SELECT count(*) AS holds, coalesce(sum(bytes), 0) AS bytes FROM quota_ledger_holds
    WHERE tenant_id = $1 AND state = 'open' AND keep AND deadline >= ${LAPSED}
  )
  SELECT l.committed, l.reserved, l.unkeyed_reserved,
    l.lapsed, l.lapsed_bytes, late.holds AS true_lapsed, late.bytes AS true_lapsed_bytes,
    l.unkeyed + (SELECT coalesce(sum(bytes), 0) FROM quota_ledger_entries WHERE tenant_id = $1)
      AS true_committed,
    loose.bytes + (
      SELECT coalesce(sum(greatest(t.largest - coalesce(e.bytes, 0), 0)), 0) FROM tops t
      LEFT JOIN quota_ledger_entries e ON e.tenant_id = $1 AND e.key = t.key) AS true_reserved,
    loose.bytes AS true_unkeyed_reserved,
    (SELECT count(*) FROM (
      SELECT expires_at AS due FROM quota_ledger_entries WHERE tenant_id = $1
      UNION ALL
      SELECT deadline FROM quota_ledger_holds
      WHERE tenant_id = $1 AND state = 'open' AND (deadline < ${LAPSED} OR NOT keep)
    ) d WHERE d.due IS NOT NULL AND d.due < coalesce(l.due_at, 9223372036854775807)) AS overlooked,
    (SELECT count(*) FROM quota_ledger_versions v WHERE v.tenant_id = $1
      AND NOT EXISTS (SELECT 1 FROM tops t WHERE t.key = v.key)) AS left_versions,
    (SELECT count(*) FROM quota_ledger_holds WHERE tenant_id = $1 AND state = 'open') AS open
  FROM quota_ledger l, loose, late WHERE l.tenant_id = $1`;

export async function auditLedger(dataSource: DataSource, tenant: string): Promise<LedgerAudit> {
  const [row] = await dataSource.query<Record<string, string>[]>(AUDIT, [tenant]);
  if (!row) throw new Error(`No ledger of ${tenant}`);
  const number = (column: string): number => Number(row[column]);
  return {
    committed: number('committed'),
    reserved: number('reserved'),
    unkeyedReserved: number('unkeyed_reserved'),
    trueCommitted: number('true_committed'),
    trueReserved: number('true_reserved'),
    trueUnkeyedReserved: number('true_unkeyed_reserved'),
    overlooked: number('overlooked'),
    leftVersions: number('left_versions'),
    open: number('open'),
    lapsed: number('lapsed'),
    lapsedBytes: number('lapsed_bytes'),
    trueLapsed: number('true_lapsed'),
    trueLapsedBytes: number('true_lapsed_bytes'),
  };
}

/** I1 and I2 in their strict form. */
export async function expectExact(dataSource: DataSource, tenant: string): Promise<LedgerAudit> {
  const found = await auditLedger(dataSource, tenant);
  expect(found).toMatchObject({
    committed: found.trueCommitted,
    reserved: found.trueReserved,
    unkeyedReserved: found.trueUnkeyedReserved,
    overlooked: 0,
    leftVersions: 0,
    lapsed: found.trueLapsed,
    lapsedBytes: found.trueLapsedBytes,
  });
  return found;
}

export interface BankAudit {
  readonly granted: number;
  readonly drawn: number;
  readonly folding: number;
  readonly trueFolding: number;
  /** Rows of a batch or of the journal that the tenant's row does not know of. */
  readonly strays: number;
}

const BANK_AUDIT = `
  SELECT l.granted_bytes AS granted, l.committed + l.reserved + l.folding_bytes AS drawn,
    l.folding_bytes AS folding,
    l.folding_unkeyed + (
      SELECT coalesce(sum(bytes), 0) FROM quota_ledger_folds WHERE tenant_id = $1) AS true_folding,
    (SELECT count(*) FROM quota_ledger_folds WHERE tenant_id = $1 AND NOT l.folding)
      + (SELECT count(*) FROM quota_ledger_removals WHERE tenant_id = $1 AND NOT l.has_removals)
      AS strays
  FROM quota_ledger l WHERE l.tenant_id = $1`;

/** Granted and drawn stay within the limit, and what is on its way is what the batch says. */
export async function expectWithin(
  dataSource: DataSource,
  tenant: string,
  hardBytes: number,
): Promise<BankAudit> {
  const [row] = await dataSource.query<Record<string, string>[]>(BANK_AUDIT, [tenant]);
  const found = {
    granted: Number(row?.['granted']),
    drawn: Number(row?.['drawn']),
    folding: Number(row?.['folding']),
    trueFolding: Number(row?.['true_folding']),
    strays: Number(row?.['strays']),
  };
  expect(found).toMatchObject({ folding: found.trueFolding, strays: 0 });
  expect(found.granted + found.drawn).toBeLessThanOrEqual(hardBytes);
  return found;
}
