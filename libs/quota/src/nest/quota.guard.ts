import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { Budget } from '../core/budget';
import { errorEvent } from '../core/error-event';
import { BYTES_PER_MB } from '../core/bytes';
import { decide, QuotaDecision } from '../core/decision';
import { QuotaError, type QuotaErrorCode } from '../core/errors';
import { QuotaObserver } from '../core/observer';
import { QuotaChecker } from '../core/quota-checker';
import { parseTenantId } from '../core/tenant';
import type { RefusedVerdict } from '../core/verdict';
import { parseKey, parseTtl, type QuotaWrite } from '../core/write';
import { discardBody } from './body-reader';
import { QuotaExceededException, toHttpException } from './exceptions';
import { quotaHeaders, setHeaders, type HeaderInput } from './headers';
import {
  isExcluded,
  pathOf,
  rawResponse,
  requestOf,
  responseOf,
  type QuotaRequest,
} from './http-exchange';
import { QUOTA_OPTIONS, type ResolvedQuotaOptions } from './options';
import { QuotaContext, quotaContextOf, setQuotaContext } from './quota-context';
import { QuotaRoutes, type QuotaRoute } from './routes';

/** From this announced size on, a write is checked before its body is read. */
const PREFLIGHT_BYTES = BYTES_PER_MB;

/** Where the stores are away, there is nobody to read, or no quota to show, a look would be in vain. */
const HAS_NO_STANDING: ReadonlySet<QuotaErrorCode> = new Set([
  'quota_unavailable',
  'body_aborted',
  'unknown_tenant',
]);

/**
 * Decides on a request before its handler runs, and leaves a {@link QuotaContext} on it. Comes with
 * `@EnforceCacheQuota()`; as a global guard it decides on every route that is not excluded.
 */
@Injectable()
export class QuotaGuard implements CanActivate {
  constructor(
    private readonly routes: QuotaRoutes,
    private readonly adapterHost: HttpAdapterHost,
    private readonly checker: QuotaChecker,
    private readonly observer: QuotaObserver,
    @Inject(QUOTA_OPTIONS) private readonly options: ResolvedQuotaOptions,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (context.getType() !== 'http') return true;
    const request = requestOf(context);
    if (quotaContextOf(request) !== undefined) return true;
    const route = this.routes.of(context);
    if (this.checker.isOff() || route.skipped || this.isExcluded(request)) {
      setQuotaContext(request, QuotaContext.off());
      return true;
    }
    let tenant: string | undefined;
    // One for all that this request will ask the stores, its settlement included.
    const budget = new Budget();
    try {
      tenant = parseTenantId(await route.tenant(context, this.options));
      const refused = await this.decide(context, tenant, route, budget);
      if (refused === null) return true;
      discardBody(request);
      if (refused.numbers !== null) this.setHeaders(context, refused);
      else await this.showStanding(context, tenant, QuotaDecision.REJECT, budget);
      throw new QuotaExceededException(refused);
    } catch (error) {
      if (!(error instanceof QuotaError)) throw error;
      discardBody(request);
      if (tenant !== undefined && !HAS_NO_STANDING.has(error.code)) {
        const decision = error.code === 'write_too_large' ? QuotaDecision.REJECT : undefined;
        await this.showStanding(context, tenant, decision, budget);
      }
      throw toHttpException(error);
    }
  }

  /** Leaves an admitted write on the request; gives a refused one back. */
  private async decide(
    context: ExecutionContext,
    tenant: string,
    route: QuotaRoute,
    budget: Budget,
  ): Promise<RefusedVerdict | null> {
    const named = await route.key(context, this.options);
    const key = named === undefined ? undefined : parseKey(named);
    const ttl = await route.ttl(context, this.options);
    const ttlSeconds = ttl === undefined ? undefined : parseTtl(ttl);
    const announced = route.size.announced?.(context);
    if (announced !== undefined && announced > PREFLIGHT_BYTES) {
      const write = { tenant, key, ttlSeconds, bytes: announced };
      const refused = await this.checker.preflight(write, budget);
      if (refused !== null) return refused;
    }
    const bytes = await route.size(context, this.options);
    return this.admit(context, { tenant, key, ttlSeconds, bytes }, budget);
  }

  private async admit(
    context: ExecutionContext,
    write: QuotaWrite,
    budget: Budget,
  ): Promise<RefusedVerdict | null> {
    const verdict = await this.checker.reserve(write, budget);
    if (!verdict.admitted) return verdict;
    const quota = new QuotaContext(verdict);
    setQuotaContext(requestOf(context), quota);
    this.setHeaders(context, quota);
    this.releaseIfNeverHandled(context, quota);
    return null;
  }

  /**
   * A later guard may refuse, or the client may go, before the interceptor has taken over. Once it
   * has, only it settles: a handler goes on writing after its client is gone.
   */
  private releaseIfNeverHandled(context: ExecutionContext, quota: QuotaContext): void {
    const { reservation } = quota;
    rawResponse(responseOf(context)).on('close', () => {
      if (quota.handling || reservation.state !== 'open') return;
      reservation.release().catch((error: unknown) => {
        this.observer.emit('error', errorEvent('release', error, quota.tenant));
        reservation.abandon();
      });
    });
  }

  /**
   * Quota headers for a refusal that was decided without any I/O. Only then the ledger is read, so
   * that this answer too says where the tenant stands.
   */
  private async showStanding(
    context: ExecutionContext,
    tenant: string,
    decision: QuotaDecision | undefined,
    budget: Budget,
  ): Promise<void> {
    try {
      const status = await this.checker.status(tenant, budget);
      this.setHeaders(context, {
        mode: status.mode,
        decision: decision ?? decide(status.usedBytes, true, status),
        numbers: status,
      });
    } catch (error) {
      // The refusal stands without its headers.
      this.observer.emit('error', errorEvent('standing', error, tenant));
    }
  }

  private setHeaders(context: ExecutionContext, input: HeaderInput): void {
    const headers = quotaHeaders(input, this.options.rateLimitHeaders);
    setHeaders(this.adapterHost.httpAdapter, responseOf(context), headers);
  }

  private isExcluded(request: QuotaRequest): boolean {
    const { excludedPaths } = this.options;
    return excludedPaths.length > 0 && isExcluded(pathOf(request), excludedPaths);
  }
}
