import type { QuotaDecision } from './decision';
import type { QuotaLimits, QuotaMode } from './quota';
import type { Reservation } from './reservation';

/** The numbers behind a verdict, all of one moment, in bytes. */
export interface QuotaNumbers extends QuotaLimits {
  /** Committed + reserved, this write counted when it was admitted. */
  readonly usedBytes: number;
}

interface VerdictBase {
  readonly tenant: string;
  readonly mode: QuotaMode;
  /** Bytes the write asked for. */
  readonly bytes: number;
}

/** The write may go on; `reservation` must be committed or released. */
export interface AdmittedVerdict extends VerdictBase {
  readonly admitted: true;
  /** REJECT only in shadow mode: what enforcing would have said. */
  readonly decision: QuotaDecision;
  /** Null when the quota is off: nothing was checked or charged. */
  readonly numbers: QuotaNumbers | null;
  readonly reservation: Reservation;
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

export type QuotaVerdict = AdmittedVerdict | RefusedVerdict;

/** What `check` answers: a verdict without a reservation. */
export type QuotaForecast = Omit<AdmittedVerdict, 'reservation'> | RefusedVerdict;

/** Where a tenant stands. Bytes. */
export interface QuotaStatus extends QuotaNumbers {
  readonly tenant: string;
  readonly mode: QuotaMode;
  readonly committedBytes: number;
  readonly reservedBytes: number;
  readonly unmeteredBytes: number;
  readonly overageAllowed: boolean;
  readonly overageBytes: number;
  readonly origin: 'tenant' | 'default';
  /** What the next byte would meet: ALLOW below the quota, WARN below the hard limit, else REJECT. */
  readonly decision: QuotaDecision;
}
