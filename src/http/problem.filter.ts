import {
  Catch,
  HttpException,
  Logger,
  type ArgumentsHost,
  type ExceptionFilter,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { STATUS_CODES } from 'node:http';
import {
  errorEvent,
  QuotaError,
  QuotaHttpException,
  toHttpException,
  unavailabilityOf,
  type ProblemDocument,
  type QuotaObserver,
} from '@app/quota';
import { malformedUrl, problemDocument, PROBLEM_JSON, ProblemException } from './problem';

interface Answer {
  readonly body: object;
  readonly status: number;
  readonly type: string;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Every error of the service as a problem document, routes that don't exist included. What we did
 * not foresee is logged and answered without a word of what is inside.
 */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  private readonly logger = new Logger('Http');

  constructor(
    private readonly adapterHost: HttpAdapterHost,
    private readonly observer: QuotaObserver,
  ) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const { httpAdapter } = this.adapterHost;
    const response: unknown = host.switchToHttp().getResponse();
    const answer = answerFor(error);
    if (answer.status === 500) this.logger.error(error);
    const unavailable = unavailabilityOf(error);
    if (unavailable !== undefined) {
      this.observer.emit('error', errorEvent(unavailable.operation, unavailable));
    }
    if (httpAdapter.isHeadersSent(response)) return;
    for (const [name, value] of Object.entries(answer.headers)) {
      httpAdapter.setHeader(response, name, value);
    }
    httpAdapter.setHeader(response, 'Content-Type', answer.type);
    httpAdapter.reply(response, JSON.stringify(answer.body), answer.status);
  }
}

function answerFor(error: unknown): Answer {
  if (error instanceof QuotaError) return answerFor(toHttpException(error));
  if (error instanceof QuotaHttpException || error instanceof ProblemException) {
    return problem(error.problem, error.headers);
  }
  if (error instanceof HttpException) return forHttpException(error);
  return problem(forForeignError(error));
}

function forHttpException(error: HttpException): Answer {
  const status = error.getStatus();
  const body = error.getResponse();
  // The report of a health check is its own document, whatever its status.
  if (typeof body === 'object' && 'details' in body) {
    return { body, status, type: 'application/json', headers: { 'Cache-Control': 'no-store' } };
  }
  if (isUndecodablePath(error)) return problem(malformedUrl());
  if (status === 415) return problem(malformedType());
  if (status === 404) return problem(problemDocument(404, 'not_found', 'There is no such route.'));
  return problem(problemDocument(status, codeOf(status), error.message));
}

/** Errors that the HTTP framework makes of a broken request carry a status; all others are ours. */
function forForeignError(error: unknown): ProblemDocument {
  if (isUndecodablePath(error)) return malformedUrl();
  const { statusCode: status } = (error ?? {}) as { statusCode?: unknown };
  if (error instanceof Error && typeof status === 'number' && status >= 400 && status < 500) {
    // Their own words are of their insides.
    const reason = STATUS_CODES[status] ?? 'Bad Request';
    return problemDocument(status, codeOf(status), `The request cannot be served: ${reason}.`);
  }
  return problemDocument(500, 'internal_error', 'Something went wrong on our side.');
}

/** How Express says that a path parameter is not percent-encoded UTF-8. */
function isUndecodablePath(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('Failed to decode param');
}

/** Fastify looks at the type before we do, and would have us say that it is not supported. */
function malformedType(): ProblemDocument {
  const errors = [{ where: 'Content-Type', allowed: 'type/subtype; parameter=value' }];
  return problemDocument(400, codeOf(400), 'The Content-Type is malformed.', errors);
}

function codeOf(status: number): string {
  if (status === 400) return 'invalid_request';
  return status < 500 ? 'request_refused' : 'internal_error';
}

function problem(
  document: ProblemDocument,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return { body: document, status: document.status, type: PROBLEM_JSON, headers };
}
