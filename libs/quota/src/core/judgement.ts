import { QuotaDecision } from './decision';
import { QuotaExceededError, WriteBouncedError } from './errors';
import { limitsOf, type QuotaLimits, type QuotaMode, type TenantQuota } from './quota';
import type { Reservation } from './reservation';
import { usedBytes, type CommitReply, type ReserveReply } from './usage-tracker';
import type { QuotaForecast, RefusedVerdict } from './verdict';
import type { QuotaWrite } from './write';

/** What a decision was taken with, and what the ledger said; null: it was not asked. */
export interface Decided {
  readonly quota: TenantQuota;
  readonly mode: QuotaMode;
  readonly reply: Exclude<ReserveReply, { outcome: 'stale' }> | null;
  /** The write is larger than any single one may be; enforced, the ledger is not asked then. */
  readonly aboveMaximum?: boolean;
}

/** Turns the ledger's reply into a verdict. Mode is applied here and nowhere else. */
export function judge(write: QuotaWrite, decided: Decided): QuotaForecast {
  const { quota, mode, reply } = decided;
  const { tenant, bytes } = write;
  if (mode === 'off') {
    return { tenant, mode, bytes, admitted: true, decision: QuotaDecision.ALLOW, numbers: null };
  }
  if (reply?.outcome === 'reserved') {
    const { quotaBytes, hardBytes } = limitsOf(quota);
    const numbers = { quotaBytes, hardBytes, usedBytes: reply.usedAfterBytes };
    // In shadow it goes on, and is said to be what enforcing would have refused.
    const decision = decided.aboveMaximum === true ? QuotaDecision.REJECT : reply.decision;
    return { tenant, mode, bytes, admitted: true, decision, numbers };
  }
  return refuse(write, quota, mode, reply);
}

function refuse(
  { tenant, bytes }: QuotaWrite,
  quota: TenantQuota,
  mode: QuotaMode,
  reply: Extract<ReserveReply, { outcome: 'rejected' }> | null,
): RefusedVerdict {
  const refused = { tenant, mode, bytes, admitted: false, decision: QuotaDecision.REJECT } as const;
  if (reply === null) return { ...refused, reason: 'above_maximum', numbers: null };
  const limits = limitsOf(quota);
  const numbers = { ...limits, usedBytes: usedBytes(reply.usage) };
  if (bytes > limits.hardBytes) return { ...refused, reason: 'too_large', numbers };
  const exceeded: RefusedVerdict = { ...refused, reason: 'exceeded', numbers };
  if (reply.retryAfterMs === undefined) return exceeded;
  return { ...exceeded, retryAfterSeconds: Math.max(1, Math.ceil(reply.retryAfterMs / 1_000)) };
}

/** What the next byte would meet: ALLOW below the quota, WARN below the hard limit, else REJECT. */
export function standingOf(used: number, limits: QuotaLimits): QuotaDecision {
  if (used < limits.quotaBytes) return QuotaDecision.ALLOW;
  return used < limits.hardBytes ? QuotaDecision.WARN : QuotaDecision.REJECT;
}

/** The error for a commit that was answered `refused` or `bounced`. */
export function lateRefusal(
  reservation: Reservation,
  reply: Exclude<CommitReply, { outcome: 'committed' }>,
): QuotaExceededError | WriteBouncedError {
  if (reply.outcome === 'bounced') return new WriteBouncedError(reservation.tenant);
  return new QuotaExceededError({
    admitted: false,
    tenant: reservation.tenant,
    mode: reservation.mode,
    bytes: reservation.bytes,
    decision: QuotaDecision.REJECT,
    reason: 'exceeded',
    numbers: { ...reservation.limits, usedBytes: usedBytes(reply.usage) },
  });
}
