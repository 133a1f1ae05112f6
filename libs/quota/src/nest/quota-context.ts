import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { decide, QuotaDecision } from '../core/decision';
import { offVerdict } from '../core/off-verdict';
import type { QuotaMode } from '../core/quota';
import type { Reservation } from '../core/reservation';
import { usedBytes } from '../core/usage-tracker';
import type { AdmittedVerdict, QuotaNumbers } from '../core/verdict';
import type { HeaderInput } from './headers';
import { requestOf } from './http-exchange';

const slot = Symbol('quota context');

/** One request's decision, numbers and reservation; `@CurrentQuota()` gives it to the handler. */
export class QuotaContext implements HeaderInput {
  /** Empty where nothing was looked at, since the quota is off for everyone. */
  readonly tenant: string;
  readonly mode: QuotaMode;
  readonly reservation: Reservation;
  /** Bytes the handler says it has stored; see {@link stored}. */
  storedBytes: number | undefined;
  /** The interceptor has taken over; from here on it settles. */
  handling = false;

  /** For a request that is let through unseen: the quota is off, or the route is left out. */
  static off(): QuotaContext {
    return new QuotaContext(offVerdict({ tenant: '', bytes: 0 }));
  }

  constructor(private readonly verdict: AdmittedVerdict) {
    this.tenant = verdict.tenant;
    this.mode = verdict.mode;
    this.reservation = verdict.reservation;
  }

  /**
   * Tells what was really stored, in bytes, where it differs from what was reserved, or before
   * something that may still fail: that much is committed even when the handler then throws.
   */
  stored(bytes: number): void {
    this.storedBytes = bytes;
  }

  /** The verdict; after a settlement that changed the numbers, what these say. REJECT only in shadow mode. */
  get decision(): QuotaDecision {
    const numbers = this.numbers;
    if (numbers === null || numbers === this.verdict.numbers) return this.verdict.decision;
    return this.verdict.decision === QuotaDecision.REJECT
      ? QuotaDecision.REJECT
      : decide(numbers.usedBytes, this.outgrew, numbers);
  }

  /** More was stored than was reserved: enforced, the commit would have been refused beyond the limit. */
  private get outgrew(): boolean {
    return this.mode === 'shadow' && (this.storedBytes ?? 0) > this.reservation.bytes;
  }

  /** The numbers of the verdict, or those of the settlement where it changed them; null when off. */
  get numbers(): QuotaNumbers | null {
    const settled = this.reservation.settledUsage;
    if (settled === null || this.verdict.numbers === null) return this.verdict.numbers;
    return { ...this.verdict.numbers, usedBytes: usedBytes(settled) };
  }
}

type Carrying = object & { [slot]?: QuotaContext };

/** The quota context the guard left on a request; undefined where none ran. */
export function quotaContextOf(request: object): QuotaContext | undefined {
  return (request as Carrying)[slot];
}

export function setQuotaContext(request: object, context: QuotaContext): void {
  (request as Carrying)[slot] = context;
}

/** The request's {@link QuotaContext}; undefined on a route without a guard. */
export const CurrentQuota = createParamDecorator(
  (_data: unknown, context: ExecutionContext): QuotaContext | undefined =>
    quotaContextOf(requestOf(context)),
);
