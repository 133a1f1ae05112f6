import { MAX_BYTES, type StoredValue, type Usage } from '../../core';
import { overflow } from './arguments';
import type { TenantLedger } from './tenant-ledger';

export interface UnmeteredRequest {
  readonly tenant: string;
  readonly id: string;
  readonly key: string;
  readonly value: StoredValue;
  readonly ttlMs?: number;
  readonly stamp: number;
}

export type UnmeteredReply =
  | { outcome: 'stored'; replaced: boolean; expiresAt?: number; usage: Usage }
  | { outcome: 'stale'; stamp: number };

/**
 * A copy in memory of its own. What comes from a request is often a slice of a larger pool, which
 * it would keep alive, and whoever made it may still write to it.
 */
export function keep(value: StoredValue): StoredValue {
  const body = Buffer.allocUnsafeSlow(value.body.length);
  value.body.copy(body);
  return { body, meta: value.meta };
}

export function getValue(
  ledger: TenantLedger,
  key: string,
  now: number,
): { value: (StoredValue & { expiresAt?: number }) | null; usage: Usage } {
  ledger.settle(key, now);
  const { value, dueAt = Infinity } = ledger.entry(key) ?? {};
  const { usage } = ledger;
  if (!value) return { value: null, usage };
  return { value: { ...value, ...(Number.isFinite(dueAt) ? { expiresAt: dueAt } : {}) }, usage };
}

/** Stores a value without any check; its bytes count in used only after the next fold or recount. */
export function putUnmetered(
  ledger: TenantLedger,
  request: UnmeteredRequest,
  now: number,
): UnmeteredReply {
  const { id, key, value, ttlMs, stamp } = request;
  if (stamp < ledger.stamp) return { outcome: 'stale', stamp: ledger.stamp };
  ledger.settle(key, now);
  let mark = ledger.marks.get('store', id, now);
  if (!mark) {
    const replaced = ledger.entry(key) !== undefined;
    const bytes = value.body.length;
    if (ledger.used + ledger.usage.unmeteredBytes + bytes > MAX_BYTES) throw overflow('store');
    const dueAt = ttlMs === undefined ? Infinity : now + ttlMs;
    ledger.put({ key, bytes, dueAt, version: 0, value: keep(value), unmetered: true });
    mark = { replaced, ...(ttlMs === undefined ? {} : { expiresAt: dueAt }) };
    ledger.marks.set('store', id, mark, now);
    ledger.stamp = stamp;
  }
  return { outcome: 'stored', ...mark, usage: ledger.usage };
}
