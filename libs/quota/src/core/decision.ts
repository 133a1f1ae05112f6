import type { QuotaLimits } from './quota';

/** The verdict on one write. */
export enum QuotaDecision {
  /** Within the quota. */
  ALLOW = 'ALLOW',
  /** Beyond the quota, within the overage. */
  WARN = 'WARN',
  /** Beyond quota and overage. */
  REJECT = 'REJECT',
}

/**
 * The one rule: used (committed + reserved, counting this write) against the limits. A write that
 * does not grow what the tenant holds is never refused, even where the limit was lowered below it.
 */
export function decide(usedAfter: number, grows: boolean, limits: QuotaLimits): QuotaDecision {
  if (usedAfter <= limits.quotaBytes) return QuotaDecision.ALLOW;
  if (usedAfter <= limits.hardBytes || !grows) return QuotaDecision.WARN;
  return QuotaDecision.REJECT;
}
