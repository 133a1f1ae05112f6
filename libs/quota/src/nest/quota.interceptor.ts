import {
  Inject,
  Injectable,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { lastValueFrom, of, type Observable } from 'rxjs';
import { errorEvent } from '../core/error-event';
import { QuotaError } from '../core/errors';
import { QuotaObserver } from '../core/observer';
import { lateRefusal } from '../core/judgement';
import { BodyAbortedError } from './body-reader';
import { toHttpException, unavailabilityOf } from './exceptions';
import { quotaHeaders, setHeaders } from './headers';
import { requestOf, responseOf } from './http-exchange';
import { QUOTA_OPTIONS, type ResolvedQuotaOptions } from './options';
import { quotaContextOf, type QuotaContext } from './quota-context';
import { QuotaRoutes } from './routes';

/** Settles what the guard reserved, by what the handler really did, and brings the headers up to date. */
@Injectable()
export class QuotaInterceptor implements NestInterceptor {
  constructor(
    private readonly routes: QuotaRoutes,
    private readonly adapterHost: HttpAdapterHost,
    private readonly observer: QuotaObserver,
    @Inject(QUOTA_OPTIONS) private readonly options: ResolvedQuotaOptions,
  ) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const quota = context.getType() === 'http' ? quotaContextOf(requestOf(context)) : undefined;
    if (quota === undefined || quota.handling) return next.handle();
    return of(await this.handle(context, quota, next));
  }

  private async handle(
    context: ExecutionContext,
    quota: QuotaContext,
    next: CallHandler,
  ): Promise<unknown> {
    // The client left before the handler began, and its bytes went back: nothing may be stored now.
    if (quota.reservation.state !== 'open') throw toHttpException(new BodyAbortedError());
    quota.handling = true;
    try {
      const result: unknown = await lastValueFrom(next.handle(), { defaultValue: undefined });
      await this.commit(context, quota, quota.storedBytes);
      return result;
    } catch (error) {
      await this.settleFailed(context, quota, error);
      throw error instanceof QuotaError ? toHttpException(error) : error;
    } finally {
      if (quota.reservation.settledUsage !== null) this.setHeaders(context, quota);
      // The request ends here: nobody is left to settle it.
      quota.reservation.abandon();
    }
  }

  private async commit(
    context: ExecutionContext,
    quota: QuotaContext,
    bytes: number | undefined,
  ): Promise<void> {
    const { reservation } = quota;
    if (reservation.state !== 'open') return;
    const reply = await reservation.commit(bytes);
    if (reply === null || reply.outcome === 'committed') return;
    await this.routes.of(context).undo?.(context);
    throw lateRefusal(reservation, reply);
  }

  /** The handler failed: what it says it stored is charged, else everything goes back. */
  private async settleFailed(
    context: ExecutionContext,
    quota: QuotaContext,
    cause: unknown,
  ): Promise<void> {
    const { reservation, storedBytes } = quota;
    if (reservation.state !== 'open') return;
    try {
      if (storedBytes === undefined) await reservation.release();
      else await this.commit(context, quota, storedBytes);
    } catch (error) {
      // The handler's own error is the answer; the deadline gives the bytes back. Where the answer is
      // a 503 of ours anyway, that is counted, and this would be the same trouble once more.
      if (unavailabilityOf(cause) !== undefined) return;
      this.observer.emit('error', errorEvent('settle', error, quota.tenant));
    }
  }

  private setHeaders(context: ExecutionContext, quota: QuotaContext): void {
    const { httpAdapter } = this.adapterHost;
    const response = responseOf(context);
    if (httpAdapter.isHeadersSent(response)) return;
    setHeaders(httpAdapter, response, quotaHeaders(quota, this.options.rateLimitHeaders));
  }
}
