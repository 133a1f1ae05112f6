import {
  MAX_BYTES,
  ReservationConflictError,
  UndecidedError,
  type CommitReply,
  type CommitRequest,
  type ReleaseReply,
} from '../../core';
import { REAP_PER_TURN } from './admission';
import { overflow } from './arguments';
import { forecastCommit } from './forecast';
import type { Asked, WriteMark } from './marks';
import type { Reservation, TenantLedger } from './tenant-ledger';

type Settled = Exclude<WriteMark, { state: 'released' }>;

/** See docs/ledger.md. Null: more is due than can be reaped in one turn; ask again in the next. */
export function commit(
  ledger: TenantLedger,
  request: CommitRequest,
  now: number,
): CommitReply | null {
  if (request.generation !== ledger.generation) return { outcome: 'bounced' };
  const { id, key } = request;
  ledger.settle(key, now);
  const held = ledger.open.get(id);
  const mark = held ? undefined : ledger.marks.get('write', id, now);
  if (mark?.state === 'released') return { outcome: 'bounced' };
  // Putting the bytes under another key than was reserved would admit them unseen.
  const known = held ?? mark;
  if (known && known.key !== key) throw new ReservationConflictError(id);
  return mark ? repeat(ledger, mark) : settle(ledger, request, held, held, now);
}

/** @param asked what was reserved, also where the hold is gone. */
function settle(
  ledger: TenantLedger,
  request: CommitRequest,
  asked: Asked | undefined,
  held: Reservation | undefined,
  now: number,
): CommitReply | null {
  const { id, key, bytes } = request;
  const outdated = isOutdated(ledger, request);
  if (!outdated && (!held || bytes > held.bytes) && !admit(ledger, request, held)) {
    if (ledger.hasDue(now)) return settleAfterReaping(ledger, request, asked, now);
    if (mayFit(ledger, request, held)) throw UndecidedError.byLapsed('commit');
    if (held) ledger.close(held);
    const mark: Settled = { asked, state: 'refused', key };
    ledger.marks.set('write', id, mark, now);
    return repeat(ledger, mark);
  }
  const old = key === undefined ? undefined : ledger.entry(key);
  const dueAt = outdated ? old?.dueAt : expiryOf(request, now);
  const expiresAt = dueAt !== undefined && Number.isFinite(dueAt) ? dueAt : undefined;
  const mark: Settled = { asked, state: 'committed', key, replaced: old !== undefined, expiresAt };
  if (held) ledger.close(held);
  ledger.marks.set('write', id, mark, now);
  if (!outdated) place(ledger, request, dueAt ?? Infinity);
  return repeat(ledger, mark);
}

/** Checked like a new write: before it is refused, nothing that expired may still be counted. */
function settleAfterReaping(
  ledger: TenantLedger,
  request: CommitRequest,
  asked: Asked | undefined,
  now: number,
): CommitReply | null {
  ledger.reap(now, REAP_PER_TURN);
  // Its own hold may have lapsed and been reaped just now.
  return ledger.hasDue(now)
    ? null
    : settle(ledger, request, asked, ledger.open.get(request.id), now);
}

/** Whether more than what is held may be committed. @throws RangeError beyond 2^53 − 1. */
function admit(
  ledger: TenantLedger,
  { key, bytes, enforce, limits }: CommitRequest,
  held: Reservation | undefined,
): boolean {
  const { usedAfter, grows } = forecastCommit(ledger, key, bytes, held?.bytes ?? 0);
  if (grows && enforce && usedAfter > limits.hardBytes) return false;
  const entry = key === undefined ? undefined : ledger.entry(key);
  const leaving = entry && !ledger.isMetered(entry) ? entry.bytes : 0;
  if (usedAfter + ledger.usage.unmeteredBytes - leaving > MAX_BYTES) throw overflow('commit');
  return true;
}

/** What has lapsed may be nothing, and then there is room. */
function mayFit(
  ledger: TenantLedger,
  { key, bytes, limits }: CommitRequest,
  held: Reservation | undefined,
): boolean {
  const { usedAfter } = forecastCommit(ledger, key, bytes, held?.bytes ?? 0);
  const own = held && ledger.lapsed.has(held.id) ? held.bytes : 0;
  return usedAfter - (ledger.lapsedBytes - own) <= limits.hardBytes;
}

/** A newer write or removal of the key came before: the entry stays as that left it. */
function isOutdated(ledger: TenantLedger, { key, version }: CommitRequest): boolean {
  if (key === undefined || version === undefined) return false;
  const seen = ledger.pendingOf(key)?.highestVersion ?? 0;
  return version < Math.max(seen, ledger.entry(key)?.version ?? 0);
}

function expiryOf({ key, ttlMs }: CommitRequest, now: number): number {
  return key === undefined || ttlMs === undefined ? Infinity : now + ttlMs;
}

function place(ledger: TenantLedger, request: CommitRequest, dueAt: number): void {
  const { key, bytes, version = 0, value } = request;
  if (key === undefined) {
    ledger.charge(bytes);
    return;
  }
  ledger.noteVersion(key, version);
  ledger.put({ key, bytes, dueAt, version, value });
}

function repeat(ledger: TenantLedger, mark: Settled): Exclude<CommitReply, { outcome: 'bounced' }> {
  const { usage } = ledger;
  if (mark.state === 'refused') return { outcome: 'refused', usage };
  const { replaced, expiresAt } = mark;
  return expiresAt === undefined
    ? { outcome: 'committed', usage, replaced }
    : { outcome: 'committed', usage, replaced, expiresAt };
}

export function release(ledger: TenantLedger, id: string, now: number): ReleaseReply {
  const held = ledger.open.get(id);
  if (held) {
    ledger.settle(held.key, now);
    ledger.close(held);
    ledger.marks.set('write', id, { asked: held, state: 'released' }, now);
  } else if (!ledger.marks.get('write', id, now)) {
    // A reserve that arrives after its release finds this.
    ledger.marks.set('write', id, { asked: undefined, state: 'released' }, now);
  }
  return { outcome: held ? 'released' : 'settled', usage: ledger.usage };
}
