import { Catch, Injectable, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { errorEvent } from '../core/error-event';
import { QuotaError } from '../core/errors';
import { QuotaObserver } from '../core/observer';
import { QuotaHttpException, toHttpException, unavailabilityOf } from './exceptions';

/** Answers the library's errors as problem documents (RFC 9457). Comes with `@EnforceCacheQuota()`. */
@Injectable()
@Catch(QuotaHttpException, QuotaError)
export class QuotaExceptionFilter implements ExceptionFilter<QuotaHttpException | QuotaError> {
  constructor(
    private readonly adapterHost: HttpAdapterHost,
    private readonly observer: QuotaObserver,
  ) {}

  catch(error: QuotaHttpException | QuotaError, host: ArgumentsHost): void {
    if (host.getType() !== 'http') throw error;
    const unavailable = unavailabilityOf(error);
    if (unavailable !== undefined) {
      this.observer.emit('error', errorEvent(unavailable.operation, unavailable));
    }
    const exception = error instanceof QuotaError ? toHttpException(error) : error;
    const { httpAdapter } = this.adapterHost;
    const response: unknown = host.switchToHttp().getResponse();
    if (httpAdapter.isHeadersSent(response)) return;
    for (const [name, value] of Object.entries(exception.headers)) {
      httpAdapter.setHeader(response, name, value);
    }
    httpAdapter.setHeader(response, 'Content-Type', 'application/problem+json');
    httpAdapter.reply(response, JSON.stringify(exception.problem), exception.problem.status);
  }
}
