import { QuotaConflictError } from '../../core/errors';
import {
  QUOTA_ROW_DEFAULTS,
  parseChangeOptions,
  parseChangesQuery,
  parsePageQuery,
  parseQuotaPatch,
} from '../../core/quota-change';
import { matchesFilter } from '../../core/quota-filter';
import type { QuotaRow } from '../../core/quota-source';
import {
  QuotaStore,
  type ChangeOptions,
  type QuotaChangeRecord,
  type QuotaListQuery,
  type QuotaPage,
  type QuotaPatch,
  type QuotaSettings,
} from '../../core/quota-store';
import { parseTenantId } from '../../core/tenant';

/** Changes kept. */
const MOST_CHANGES = 1_000;

/**
 * Quotas in this process, for one instance without a database and for tests. They are gone with the
 * process; of the audit trail the last 1,000 changes of all tenants are kept.
 */
export class MemoryQuotaStore extends QuotaStore {
  private readonly rows = new Map<string, QuotaRow>();
  private readonly stamps = new Map<string, number>();
  private lastStamp = 0;
  /** The latest first. */
  private readonly log: (QuotaChangeRecord & { readonly tenant: string })[] = [];
  /** When the usage of a row was read, in the order in which readings began. */
  private readonly readings = new Map<string, number>();
  private lastReading = 0;

  async load(tenant: string): Promise<{ row: QuotaRow | null; stamp: number }> {
    parseTenantId(tenant);
    const row = this.rows.get(tenant);
    return { row: row === undefined ? null : copy(row), stamp: this.stamps.get(tenant) ?? 0 };
  }

  async list(query: QuotaListQuery): Promise<QuotaPage> {
    const { after, limit, filter } = parsePageQuery(query);
    const found = [...this.rows.values()]
      .filter((row) => row.tenant > after && matchesFilter(row, filter))
      .sort((one, other) => (one.tenant < other.tenant ? -1 : 1));
    const rows = found.slice(0, limit);
    const more = found.length > limit;
    return { rows: rows.map(copy), next: more ? (rows.at(-1)?.tenant ?? null) : null };
  }

  async change(
    tenant: string,
    patch: QuotaPatch,
    options: ChangeOptions,
  ): Promise<{ row: QuotaRow; created: boolean; stamp: number }> {
    parseTenantId(tenant);
    const changes = parseQuotaPatch(patch);
    const before = this.expect(tenant, options);
    const now = new Date();
    const row: QuotaRow = {
      ...(before ?? { ...QUOTA_ROW_DEFAULTS, tenant, currentUsageBytes: 0, createdAt: now }),
      ...changes,
      version: (before?.version ?? 0) + 1,
      updatedAt: now,
    };
    this.rows.set(tenant, row);
    const stamp = this.record(tenant, options.actor, before, row);
    return { row: copy(row), created: before === undefined, stamp };
  }

  async delete(tenant: string, options: ChangeOptions): Promise<{ stamp: number } | null> {
    parseTenantId(tenant);
    const before = this.expect(tenant, options);
    if (before === undefined) return null;
    this.rows.delete(tenant);
    this.readings.delete(tenant);
    return { stamp: this.record(tenant, options.actor, before) };
  }

  async changes(
    tenant: string,
    query: { before?: number; limit: number },
  ): Promise<{ changes: QuotaChangeRecord[]; next: number | null }> {
    parseTenantId(tenant);
    const { before, limit } = parseChangesQuery(query);
    const found = this.log.filter(
      (change) => change.tenant === tenant && (before === null || change.stamp < before),
    );
    const changes = found.slice(0, limit).map(({ tenant: _tenant, ...change }) => ({
      ...change,
      before: change.before && { ...change.before },
      after: change.after && { ...change.after },
      changedAt: new Date(change.changedAt),
    }));
    return { changes, next: found.length > limit ? (changes.at(-1)?.stamp ?? null) : null };
  }

  async recordUsage(
    tenants: readonly string[],
    read: (tenants: readonly string[]) => Promise<ReadonlyMap<string, number>>,
  ): Promise<number> {
    const readAt = ++this.lastReading;
    let changed = 0;
    for (const [tenant, bytes] of await read(tenants.filter((name) => this.rows.has(name)))) {
      const row = this.rows.get(tenant);
      const since = this.readings.get(tenant) ?? 0;
      if (row === undefined || row.currentUsageBytes === bytes || since > readAt) continue;
      this.rows.set(tenant, { ...row, currentUsageBytes: bytes });
      this.readings.set(tenant, readAt);
      changed += 1;
    }
    return changed;
  }

  private expect(tenant: string, options: ChangeOptions): QuotaRow | undefined {
    const { expectedVersion } = parseChangeOptions(options);
    const row = this.rows.get(tenant);
    const version = row?.version ?? 0;
    if (expectedVersion !== undefined && expectedVersion !== version) {
      throw new QuotaConflictError(tenant, version);
    }
    return row;
  }

  private record(tenant: string, actor: string, before?: QuotaRow, after?: QuotaRow): number {
    const stamp = ++this.lastStamp;
    this.stamps.set(tenant, stamp);
    const action = after === undefined ? 'delete' : before === undefined ? 'create' : 'update';
    const sides = { before: settingsOf(before), after: settingsOf(after) };
    this.log.unshift({ tenant, stamp, action, actor, ...sides, changedAt: new Date() });
    this.log.length = Math.min(this.log.length, MOST_CHANGES);
    return stamp;
  }
}

function settingsOf(row: QuotaRow | undefined): QuotaSettings | null {
  if (row === undefined) return null;
  const { quotaMb, overageAllowed, overageLimitMb, mode, version } = row;
  return { quotaMb, overageAllowed, overageLimitMb, mode, version };
}

/** Nobody outside may change what is kept, dates included. */
function copy(row: QuotaRow): QuotaRow {
  return { ...row, createdAt: new Date(row.createdAt), updatedAt: new Date(row.updatedAt) };
}
