import type { QuotaDecision } from './decision';
import type { QuotaLimits, QuotaMode } from './quota';

/** The numbers behind a verdict, all of one moment, in bytes. */
export interface QuotaNumbers extends QuotaLimits {
  /** Committed + reserved, this write counted when it was admitted. */
  readonly usedBytes: number;
}

/** What every verdict says. */
export interface VerdictBase {
  readonly tenant: string;
  readonly mode: QuotaMode;
  /** Bytes the write asked for. */
  readonly bytes: number;
}

/** The write is refused and nothing was charged. */
export interface RefusedVerdict extends VerdictBase {
  readonly admitted: false;
  readonly decision: QuotaDecision.REJECT;
  /**
   * `exceeded`: the tenant holds too much at present (429). `too_large`: larger than the tenant's
   * whole hard limit, so that waiting can't help (413). `above_maximum`: larger than any single
   * write may be (413); decided before the ledger is asked, so `numbers` is null.
   */
  readonly reason: 'exceeded' | 'too_large' | 'above_maximum';
  readonly numbers: QuotaNumbers | null;
  /** Until enough entries will have expired; absent when they never will. */
  readonly retryAfterSeconds?: number;
}
