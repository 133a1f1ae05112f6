import type { QuotaDecision } from './decision';
import type { QuotaMode } from './quota';
import type { QuotaNumbers, RefusedVerdict, VerdictBase } from './refusal';
import type { Reservation } from './reservation';

export type { QuotaNumbers, RefusedVerdict } from './refusal';

/** The write may go on; `reservation` must be committed or released. */
export interface AdmittedVerdict extends VerdictBase {
  readonly admitted: true;
  /** REJECT only in shadow mode: what enforcing would have said. */
  readonly decision: QuotaDecision;
  /** Null when the quota is off: nothing was checked or charged. */
  readonly numbers: QuotaNumbers | null;
  readonly reservation: Reservation;
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
