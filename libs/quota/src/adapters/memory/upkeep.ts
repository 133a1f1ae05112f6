import {
  MAX_BYTES,
  type EntryCorrection,
  type KeyView,
  type LapsedHold,
  type SweepReply,
} from '../../core';
import { overflow } from './arguments';
import { writtenOf, type Entry, type TenantLedger } from './tenant-ledger';

export function sweep(ledger: TenantLedger, max: number, now: number): SweepReply {
  const before = ledger.used;
  const { entries, reservations } = ledger.reap(now, max);
  ledger.marks.forget(now, max);
  return {
    expiredEntries: entries,
    expiredReservations: reservations,
    freedBytes: before - ledger.used,
    more: ledger.hasDue(now),
    lapsed: ledger.lapsed.size > 0,
    unsettled: ledger.unsettled,
  };
}

/** A page of live entries in the order of their keys. At most `limit` are looked at. */
export function page(
  ledger: TenantLedger,
  cursor: string | null,
  limit: number,
  now: number,
): { entries: KeyView[]; next: string | null } {
  const entries: KeyView[] = [];
  let seen = 0;
  let last: string | null = null;
  for (const { key, dueAt } of ledger.after(cursor?.slice(1), limit)) {
    if (dueAt > now) entries.push(ledger.view(key, now));
    last = `>${key}`;
    seen++;
  }
  return { entries, next: seen < limit ? null : last };
}

/** A page of what has lapsed, by the order in which it was opened; the cursor is the last one's. */
export function lapsedPage(
  ledger: TenantLedger,
  cursor: string | null,
  limit: number,
): { holds: LapsedHold[]; next: string | null } {
  const after = cursor === null ? -1 : Number(cursor);
  const rest = [...ledger.lapsed.values()]
    .filter(({ seq }) => seq > after)
    .sort((a, b) => a.seq - b.seq);
  const page = rest.slice(0, limit);
  return {
    holds: page.map(({ id, key, bytes }) => ({ id, key, bytes })),
    next: rest.length > limit ? String(page.at(-1)?.seq) : null,
  };
}

export function letGo(ledger: TenantLedger, ids: readonly string[], now: number): number {
  let gone = 0;
  for (const id of ids) {
    const hold = ledger.lapsed.get(id);
    if (!hold) continue;
    ledger.settle(hold.key, now);
    ledger.close(hold);
    gone++;
  }
  return gone;
}

export function correct(
  ledger: TenantLedger,
  corrections: readonly EntryCorrection[],
  now: number,
): { applied: number; deltaBytes: number } {
  // As if nothing were replaced: in the far distance of 2^53 − 1 a guess on the safe side will do.
  const most = corrections.reduce((sum, { bytes = 0 }) => sum + bytes, 0);
  if (ledger.used + ledger.usage.unmeteredBytes + most > MAX_BYTES) throw overflow('correct');
  let applied = 0;
  let deltaBytes = 0;
  for (const correction of corrections) {
    ledger.settle(correction.key, now);
    const old = ledger.entry(correction.key);
    if (!isAsSeen(ledger, correction, old) || (!old && correction.bytes === undefined)) continue;
    apply(ledger, correction, now);
    applied++;
    deltaBytes += (ledger.entry(correction.key)?.bytes ?? 0) - (old?.bytes ?? 0);
  }
  return { applied, deltaBytes };
}

function isAsSeen(ledger: TenantLedger, { key, seen }: EntryCorrection, old?: Entry): boolean {
  if (ledger.pendingOf(key)?.isOpen) return false;
  if (seen?.written !== undefined && old && seen.written !== (writtenOf(old) ?? 0)) return false;
  return old?.bytes === seen?.bytes && old?.version === seen?.version;
}

function apply(ledger: TenantLedger, correction: EntryCorrection, now: number): void {
  const { key, bytes, expiresAt = Infinity, version = 0 } = correction;
  if (bytes === undefined || expiresAt <= now) ledger.delete(key);
  else ledger.put({ key, bytes, dueAt: expiresAt, version });
}
