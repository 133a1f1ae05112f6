import { Buffer } from 'node:buffer';
import {
  parseTenantId,
  type EntryCorrection,
  type KeyView,
  type LapsedHold,
  type TenantPage,
} from '../../core';
import { unavailable } from './database-errors';
import { id, invalid, keyBytes, optionalWhole, whole } from './ledger-arguments';
import type { LedgerCalls } from './ledger-calls';
import { lapsedRow, tenantRow, view } from './ledger-replies';
import { ENTRIES, LAPSED_HOLDS, LOOKUP, TENANTS } from './ledger-sql';
import type { Row } from './session';

/** Keys or ids in one statement. */
const PAGE = 500;
const MAX_PAGE = 1_000;

/** The operations that walk entries, or lapsed reservations. */
export class LedgerUpkeep {
  constructor(private readonly calls: LedgerCalls) {}

  /** By name; the cursor is the last tenant looked at. */
  async tenants(cursor: string | null, limit: number, onlyDue: boolean): Promise<TenantPage> {
    if (whole(limit, 'limit') < 1) throw invalid('limit', 'at least 1');
    const size = Math.min(limit, MAX_PAGE);
    const after = cursor === null ? '' : parseTenantId(cursor);
    const found = await this.calls.query('tenants', TENANTS, after, [size]);
    const rows = found.map((row) => tenantRow.parse(row));
    return {
      tenants: rows.filter(({ due }) => due || !onlyDue).map(({ tenant_id: tenant }) => tenant),
      next: rows.length === size ? (rows.at(-1)?.tenant_id ?? null) : null,
    };
  }

  /** In the order of the keys' bytes; the cursor is the last key looked at. */
  async entries(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ entries: KeyView[]; next: string | null }> {
    parseTenantId(tenant);
    if (cursor !== null && !/^(?:[0-9a-f]{2}){1,512}$/.test(cursor)) {
      throw invalid('cursor', 'null, or the `next` of the page before');
    }
    if (whole(limit, 'limit') < 1) throw invalid('limit', 'at least 1');
    const size = Math.min(limit, MAX_PAGE);
    const after = Buffer.from(cursor ?? '', 'hex');
    const rows = await this.calls.query('entries', ENTRIES, tenant, [after, size]);
    const last = rows.at(-1)?.['key'];
    return {
      entries: parsed('entries', rows, readView).filter(({ entry }) => entry !== null),
      next: rows.length === size && Buffer.isBuffer(last) ? last.toString('hex') : null,
    };
  }

  async lookup(tenant: string, keys: readonly string[]): Promise<KeyView[]> {
    parseTenantId(tenant);
    const wanted = keys.map(keyBytes);
    const views: KeyView[] = [];
    for (let from = 0; from < wanted.length; from += PAGE) {
      const page = wanted.slice(from, from + PAGE);
      const rows = await this.calls.query('lookup', LOOKUP, tenant, [page]);
      views.push(...parsed('lookup', rows, readView));
    }
    return views;
  }

  async correct(
    tenant: string,
    corrections: readonly EntryCorrection[],
  ): Promise<{ applied: number; deltaBytes: number }> {
    parseTenantId(tenant);
    const total = { applied: 0, deltaBytes: 0 };
    const all = corrections.map(correctionArgs);
    for (let from = 0; from < all.length; from += PAGE) {
      const page = all.slice(from, from + PAGE);
      const columns = [0, 1, 2, 3, 4, 5].map((i) => page.map((args) => args[i]));
      const reply = await this.calls.run('correct', { tenant, args: columns });
      total.applied += reply.applied;
      total.deltaBytes += reply.delta;
    }
    return total;
  }

  /** In the order in which they lapsed; the cursor is the number of the last one looked at. */
  async lapsed(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ holds: LapsedHold[]; next: string | null }> {
    parseTenantId(tenant);
    if (cursor !== null && !/^[1-9]\d{0,15}$/.test(cursor)) {
      throw invalid('cursor', 'null, or the `next` of the page before');
    }
    if (whole(limit, 'limit') < 1) throw invalid('limit', 'at least 1');
    const size = Math.min(limit, MAX_PAGE);
    const rows = await this.calls.query('lapsed', LAPSED_HOLDS, tenant, [cursor ?? '0', size]);
    const found = parsed('lapsed', rows, (row) => lapsedRow.parse(row));
    const last = found.at(-1);
    return {
      holds: found.map(({ number: _number, ...hold }) => hold),
      next: last && found.length === size ? String(last.number) : null,
    };
  }

  async letGo(tenant: string, ids: readonly string[]): Promise<number> {
    parseTenantId(tenant);
    const all = ids.map(id);
    let gone = 0;
    for (let from = 0; from < all.length; from += PAGE) {
      const args = [all.slice(from, from + PAGE)];
      gone += (await this.calls.run('let_go', { tenant, args })).gone;
    }
    return gone;
  }
}

function correctionArgs({ key, bytes, expiresAt, version, seen }: EntryCorrection): unknown[] {
  return [
    ...[keyBytes(key), optionalWhole(bytes, 'size')],
    ...[optionalWhole(expiresAt, 'expiresAt'), optionalWhole(version, 'version')],
    ...[optionalWhole(seen?.bytes, 'seen.bytes'), optionalWhole(seen?.version, 'seen.version')],
  ];
}

/** @throws QuotaUnavailableError when the rows are not what the tables promise. */
function parsed<T>(operation: string, rows: readonly Row[], parse: (row: Row) => T): T[] {
  try {
    return rows.map(parse);
  } catch (error) {
    throw unavailable(operation, error);
  }
}

function readView(row: Row): KeyView {
  const { key, bytes, expires_at, version, live, pending } = view.parse(row);
  if (!live || bytes === null) return { key, entry: null, pending };
  const expiring = expires_at === null ? {} : { expiresAt: expires_at };
  return { key, entry: { bytes, version: version ?? 0, ...expiring }, pending };
}
