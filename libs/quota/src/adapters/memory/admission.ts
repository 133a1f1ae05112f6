import {
  MAX_BYTES,
  QuotaDecision,
  ReservationConflictError,
  UndecidedError,
  decide,
  type ReserveReply,
  type ReserveRequest,
} from '../../core';
import { overflow } from './arguments';
import { type Forecast, forecastReserve } from './forecast';
import type { Asked } from './marks';
import type { TenantLedger } from './tenant-ledger';

/** Reaped along with each reserve: enough to keep up, too little to be felt. */
const REAP_PER_RESERVE = 32;

/** Reaped before a refusal in one turn of the event loop; the next turn goes on. */
export const REAP_PER_TURN = 1_000;

/** How far into the future's expiries an honest Retry-After looks. */
const LOOK_AHEAD = 1_000;

type Question = Omit<ReserveRequest, 'id' | 'holdMs'>;
type Reserved = Extract<ReserveReply, { outcome: 'reserved' }>;

/** See docs/ledger.md. Null: more is due than can be reaped in one turn; ask again in the next. */
export function reserve(
  ledger: TenantLedger,
  request: ReserveRequest,
  now: number,
): ReserveReply | null {
  const { key, bytes, id } = request;
  if (request.stamp < ledger.stamp) return { outcome: 'stale', stamp: ledger.stamp };
  ledger.settle(key, now);
  const known = recall(ledger, request, now);
  if (known) return known;
  const verdict = judge(ledger, request, now);
  if (verdict === null) return null;
  // Known from here on, and kept only with a tenant that has state.
  ledger.stamp = request.stamp;
  ledger.fold();
  if (verdict.undecided) throw UndecidedError.byLapsed('reserve');
  if (verdict.refused) return refusal(ledger, request, verdict, now);
  if (verdict.usedAfter > MAX_BYTES) throw overflow('reserve');
  const { decision } = verdict;
  const { keep = false } = request;
  ledger.hold({ key, bytes, decision, keep }, id, now + request.holdMs);
  return reserved(ledger, decision, verdict.usedAfter, adds(ledger, request));
}

export function check(ledger: TenantLedger, request: Question, now: number): ReserveReply | null {
  if (request.stamp < ledger.stamp) return { outcome: 'stale', stamp: ledger.stamp };
  ledger.settle(request.key, now);
  const verdict = judge(ledger, request, now);
  if (verdict === null) return null;
  if (verdict.undecided) throw UndecidedError.byLapsed('check');
  const usage = ledger.usageWhenFolded;
  if (verdict.refused) return { ...refusal(ledger, request, verdict, now), usage };
  if (verdict.usedAfter > MAX_BYTES) throw overflow('check');
  return { ...reserved(ledger, verdict.decision, verdict.usedAfter, undefined), usage };
}

interface Verdict extends Forecast {
  readonly decision: QuotaDecision;
  readonly refused: boolean;
  /** What has lapsed may make the difference. */
  readonly undecided: boolean;
}

function judge(ledger: TenantLedger, request: Question, now: number): Verdict | null {
  ledger.reap(now, REAP_PER_RESERVE);
  const first = decideOn(ledger, request);
  if (first.decision === QuotaDecision.ALLOW || !ledger.hasDue(now)) return first;
  ledger.reap(now, REAP_PER_TURN);
  const second = decideOn(ledger, request);
  // A refusal must be true at this moment, so nothing that expired may still be counted.
  return second.refused && ledger.hasDue(now) ? null : second;
}

function decideOn(ledger: TenantLedger, request: Question): Verdict {
  const { key, bytes, limits, enforce } = request;
  const { usedAfter, grows } = forecastReserve(ledger, key, bytes);
  const decision = decide(usedAfter, grows, limits);
  const refused = enforce && decision === QuotaDecision.REJECT;
  const undecided = refused && usedAfter - ledger.lapsedBytes <= limits.hardBytes;
  return { usedAfter, grows, decision, refused, undecided };
}

function reserved(
  ledger: TenantLedger,
  decision: QuotaDecision,
  usedAfterBytes: number,
  grownBytes: number | undefined,
): Reserved {
  const { usage, generation } = ledger;
  return { outcome: 'reserved', decision, usedAfterBytes, usage, grownBytes, generation };
}

function refusal(
  ledger: TenantLedger,
  { key, limits }: Question,
  { usedAfter }: Verdict,
  now: number,
): Extract<ReserveReply, { outcome: 'rejected' }> {
  const retryAfterMs = untilFreed(ledger, key, usedAfter - limits.hardBytes, now);
  return {
    outcome: 'rejected',
    // At least so many: an attacker's 2^53 − 1 must not become a number that counts wrongly.
    usedAfterBytes: Math.min(usedAfter, MAX_BYTES),
    usage: ledger.usage,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

/**
 * Ms until `bytes` will have come free by expiry, or undefined. The written key's own entry doesn't
 * help: what it gives back, the write would then take in full. An entry with open writes gives back
 * only what they don't hold.
 */
function untilFreed(
  ledger: TenantLedger,
  key: string | undefined,
  bytes: number,
  now: number,
): number | undefined {
  let freed = 0;
  let left = LOOK_AHEAD;
  for (const entry of ledger.expiringNext()) {
    if (left-- <= 0) return undefined;
    if (entry.key === key) continue;
    freed += Math.max(0, entry.bytes - (ledger.pendingOf(entry.key)?.largest ?? 0));
    if (freed >= bytes) return entry.dueAt - now;
  }
  return undefined;
}

/** The reply to an id seen before, from the present state; nothing is held twice. */
function recall(ledger: TenantLedger, request: ReserveRequest, now: number): Reserved | null {
  const open = ledger.open.get(request.id);
  if (open) {
    insistOnSame(request, open);
    const usedAfter = usedAfterCommit(ledger, open);
    return reserved(ledger, open.decision, usedAfter, adds(ledger, request));
  }
  const mark = ledger.marks.get('write', request.id, now);
  if (!mark) return null;
  const { asked } = mark;
  if (asked) insistOnSame(request, asked);
  else if (mark.state !== 'released') insistOnSame(request, { ...request, key: mark.key });
  // Settled without ever being reserved here: its release or late commit came first. Whatever the
  // verdict would be, the commit finds the mark.
  return reserved(ledger, asked?.decision ?? QuotaDecision.ALLOW, ledger.used, undefined);
}

function usedAfterCommit(ledger: TenantLedger, { key, bytes }: Asked): number {
  if (key === undefined) return ledger.used;
  const entry = ledger.entry(key);
  const live = entry && ledger.isMetered(entry) ? entry.bytes : 0;
  const pending = ledger.pendingOf(key);
  const exposure = Math.max(live, pending?.largest ?? 0);
  return ledger.used - exposure + Math.max(bytes, pending?.largestWithout(bytes) ?? 0);
}

/** What an open reservation adds to used. */
function adds(ledger: TenantLedger, { key, bytes }: Question): number {
  if (key === undefined) return bytes;
  const entry = ledger.entry(key);
  const live = entry && ledger.isMetered(entry) ? entry.bytes : 0;
  const pending = ledger.pendingOf(key);
  const exposure = Math.max(live, pending?.largest ?? 0);
  return exposure - Math.max(live, pending?.largestWithout(bytes) ?? 0);
}

function insistOnSame(request: ReserveRequest, asked: Pick<Asked, 'key' | 'bytes'>): void {
  if (asked.key !== request.key || asked.bytes !== request.bytes) {
    throw new ReservationConflictError(request.id);
  }
}
