import type { DataSource } from 'typeorm';
import { QUOTA_PLANS } from '../../core/plans';
import { InvalidOptionsError, QuotaConflictError } from '../../core/errors';
import {
  QUOTA_ROW_DEFAULTS,
  parseChangeOptions,
  parseChangesQuery,
  parsePageQuery,
  parseQuotaPatch,
} from '../../core/quota-change';
import type { QuotaRow } from '../../core/quota-source';
import {
  QuotaStore,
  type ChangeOptions,
  type QuotaChangeRecord,
  type QuotaFilter,
  type QuotaListQuery,
  type QuotaPage,
  type QuotaPatch,
} from '../../core/quota-store';
import { parseTenantId } from '../../core/tenant';
import { exactNumber } from './bigint';
import { toChangeRecord, toQuotaRow, toStamp } from './quota-rows';
import { BEFORE, CHANGES, DELETE, LIST, LOAD, LOCK, PUT, RECORD_USAGE, ROWS_OF } from './quota-sql';
import { TenantTurns } from './tenant-turns';
import { unavailable } from './database-errors';
import { inTransaction, withConnection, type Row, type Session } from './session';

/** ms that a load, for which requests wait, waits for a connection; below the deadline it has in all. */
const LOAD_WAIT_MS = 300;

/**
 * Quotas in PostgreSQL, in the tables of `quotaMigrations`. Stamps are the ids of the audit trail.
 *
 * The DataSource's pool should have limits; see {@link quotaPostgresOptions}.
 */
export class PostgresQuotaStore extends QuotaStore {
  private readonly turns = new TenantTurns();

  /** @throws InvalidOptionsError unless the DataSource is one of PostgreSQL. */
  constructor(private readonly dataSource: DataSource) {
    super();
    if (dataSource.options.type !== 'postgres') {
      throw new InvalidOptionsError([
        `dataSource: must be of type postgres, not ${dataSource.options.type}`,
      ]);
    }
  }

  async load(tenant: string): Promise<{ row: QuotaRow | null; stamp: number }> {
    parseTenantId(tenant);
    const read = async (session: Session): Promise<{ row: QuotaRow | null; stamp: number }> => {
      const [raw] = await session.query(LOAD, [tenant]);
      const found = raw !== undefined && raw['tenant_id'] !== null;
      return { row: found ? toQuotaRow(raw) : null, stamp: toStamp(raw) };
    };
    return withConnection(this.dataSource, 'config', read, LOAD_WAIT_MS);
  }

  async list(query: QuotaListQuery): Promise<QuotaPage> {
    const { after, limit, filter } = parsePageQuery(query);
    const values = [after, limit + 1, ...filterValues(filter)];
    return withConnection(this.dataSource, 'config', async (session) => {
      const raw = await session.query(LIST, values);
      const rows = raw.slice(0, limit).map(toQuotaRow);
      return { rows, next: raw.length > limit ? (rows.at(-1)?.tenant ?? null) : null };
    });
  }

  async change(
    tenant: string,
    patch: QuotaPatch,
    options: ChangeOptions,
  ): Promise<{ row: QuotaRow; created: boolean; stamp: number }> {
    parseTenantId(tenant);
    const changes = parseQuotaPatch(patch);
    const { actor, expectedVersion } = parseChangeOptions(options);
    return this.inTurn(tenant, async (session) => {
      const before = await lockTenant(session, tenant, expectedVersion);
      const next = { ...QUOTA_ROW_DEFAULTS, ...(before && configuration(before)), ...changes };
      const [raw] = await session.query(PUT, [
        tenant,
        next.quotaMb,
        next.overageAllowed,
        next.overageLimitMb,
        next.mode,
        actor,
      ]);
      const row = toQuotaRow(raw ?? {});
      return { row, created: row.version === 1, stamp: toStamp(raw) };
    });
  }

  async delete(tenant: string, options: ChangeOptions): Promise<{ stamp: number } | null> {
    parseTenantId(tenant);
    const { actor, expectedVersion } = parseChangeOptions(options);
    return this.inTurn(tenant, async (session) => {
      if ((await lockTenant(session, tenant, expectedVersion)) === undefined) return null;
      const [raw] = await session.query(DELETE, [tenant, actor]);
      return { stamp: toStamp(raw) };
    });
  }

  async changes(
    tenant: string,
    query: { before?: number; limit: number },
  ): Promise<{ changes: QuotaChangeRecord[]; next: number | null }> {
    parseTenantId(tenant);
    const { before, limit } = parseChangesQuery(query);
    return withConnection(this.dataSource, 'config', async (session) => {
      const raw = await session.query(CHANGES, [tenant, before, limit + 1]);
      const changes = raw.slice(0, limit).map(toChangeRecord);
      return { changes, next: raw.length > limit ? (changes.at(-1)?.stamp ?? null) : null };
    });
  }

  /** No connection is held while the ledger is read. */
  async recordUsage(
    tenants: readonly string[],
    read: (tenants: readonly string[]) => Promise<ReadonlyMap<string, number>>,
  ): Promise<number> {
    const rows = await withConnection(this.dataSource, 'usage_sync', (session) =>
      session.query(ROWS_OF, [tenants]),
    );
    const readAt = rows[0]?.['read_at'];
    if (readAt === undefined) return 0;
    const used = await read(rows.map((row) => String(row['tenant_id'])));
    if (used.size === 0) return 0;
    const values = [[...used.keys()], [...used.values()], readAt];
    return withConnection(this.dataSource, 'usage_sync', async (session) => {
      const [counted] = await session.query(RECORD_USAGE, values);
      return exactNumber(counted?.['changed']);
    });
  }

  private async inTurn<T>(tenant: string, work: (session: Session) => Promise<T>): Promise<T> {
    try {
      return await this.turns.take(tenant, () =>
        inTransaction(this.dataSource, 'quota_change', work),
      );
    } catch (error) {
      throw unavailable('quota_change', error);
    }
  }
}

/** Makes the transaction the only one to change the tenant. @throws QuotaConflictError */
async function lockTenant(
  session: Session,
  tenant: string,
  expectedVersion: number | undefined,
): Promise<Row | undefined> {
  await session.query(LOCK, [tenant]);
  const [before] = await session.query(BEFORE, [tenant]);
  const version = Number(before?.['version'] ?? 0);
  if (expectedVersion !== undefined && expectedVersion !== version) {
    throw new QuotaConflictError(tenant, version);
  }
  return before;
}

/** As {@link LIST} takes them, from its third parameter on. */
function filterValues({ over, nearPercent, mode, plan }: QuotaFilter): unknown[] {
  const limits = plan === undefined ? undefined : QUOTA_PLANS[plan];
  return [
    over ?? false,
    nearPercent ?? null,
    mode === undefined ? null : (mode ?? 'null'),
    ...[limits?.quotaMb ?? null, limits?.overageAllowed ?? null, limits?.overageLimitMb ?? null],
  ];
}

/** Unchecked, so that a change can mend a row that breaks the rules; what comes of it is checked. */
function configuration(raw: Row): Record<keyof QuotaPatch, unknown> {
  return {
    quotaMb: raw['quota_mb'],
    overageAllowed: raw['overage_allowed'],
    overageLimitMb: raw['overage_limit_mb'],
    mode: raw['mode'],
  };
}
