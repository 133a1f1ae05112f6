import { HttpException } from '@nestjs/common';
import { bytesToMb } from '../core/bytes';
import {
  InvalidTenantError,
  InvalidWriteError,
  QuotaExceededError,
  QuotaUnavailableError,
  type QuotaError,
} from '../core/errors';
import { TENANT_ID_ALLOWED } from '../core/tenant';
import type { QuotaNumbers, RefusedVerdict } from '../core/verdict';
import { BodyTooLargeError } from './body-reader';

/** A problem document, RFC 9457, with the members this library adds. */
export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  /** A stable code for programs. */
  readonly error: string;
  readonly [extension: string]: unknown;
}

/** Registered in the IANA HTTP Problem Types registry. */
const QUOTA_EXCEEDED_TYPE = 'https://iana.org/assignments/http-problem-types#quota-exceeded';
const REDUCED_CAPACITY_TYPE =
  'https://iana.org/assignments/http-problem-types#temporary-reduced-capacity';
const POLICY = 'cache-storage';

/** Base of what the library throws at the HTTP edge: a problem document and its headers. */
export class QuotaHttpException extends HttpException {
  constructor(
    readonly problem: ProblemDocument,
    readonly headers: Readonly<Record<string, string>> = {},
    options?: { cause?: unknown },
  ) {
    super(problem, problem.status, options);
  }
}

/** 429, the tenant is over its limit; 413 when the write is too large to fit however long one waits. */
export class QuotaExceededException extends QuotaHttpException {
  constructor(readonly verdict: RefusedVerdict) {
    const retryAfter = verdict.retryAfterSeconds;
    super(verdict.reason === 'exceeded' ? exceededProblem(verdict) : tooLargeProblem(verdict), {
      'Cache-Control': 'no-store',
      ...(retryAfter !== undefined && { 'Retry-After': String(retryAfter) }),
    });
  }
}

/** 503: the stores of the quota did not answer. Never the tenant's fault, so never 429. */
export class QuotaUnavailableException extends QuotaHttpException {
  constructor(error: QuotaUnavailableError) {
    super(
      {
        type: REDUCED_CAPACITY_TYPE,
        title: 'Temporary reduced capacity',
        status: 503,
        detail:
          'The quota of this tenant cannot be decided on at the moment. Nothing is wrong with the request; send it again.',
        error: error.code,
        retry_after_seconds: error.retryAfterSeconds,
      },
      {
        'Cache-Control': 'no-store',
        'Retry-After': String(error.retryAfterSeconds),
        // The next try should not come here.
        ...(error.closing && { Connection: 'close' }),
      },
      { cause: error },
    );
  }
}

/**
 * The failure behind a 503 of the library, in whichever form it was thrown; undefined for everything
 * else. A filter that answers it tells the observer, once, so that each 503 is counted.
 */
export function unavailabilityOf(error: unknown): QuotaUnavailableError | undefined {
  const inner = error instanceof QuotaUnavailableException ? error.cause : error;
  return inner instanceof QuotaUnavailableError ? inner : undefined;
}

/** An error of the core as it leaves over HTTP. */
export function toHttpException(error: QuotaError): QuotaHttpException {
  if (error instanceof QuotaExceededError) return new QuotaExceededException(error.verdict);
  if (error instanceof QuotaUnavailableError) return new QuotaUnavailableException(error);
  const status = statusOf(error);
  return new QuotaHttpException(
    {
      type: 'about:blank',
      title: TITLES[status] ?? 'Internal Server Error',
      status,
      detail: error.message,
      error: error.code,
      ...(error instanceof InvalidTenantError && {
        errors: [{ where: 'tenant', allowed: TENANT_ID_ALLOWED }],
      }),
      ...(error instanceof InvalidWriteError && {
        errors: [{ where: error.input.where, allowed: error.input.allowed }],
      }),
      ...(error instanceof BodyTooLargeError && { max_bytes: error.maxBytes }),
    },
    status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {},
    { cause: error },
  );
}

const TITLES: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  409: 'Conflict',
  413: 'Content Too Large',
};

function statusOf(error: QuotaError): number {
  switch (error.code) {
    case 'invalid_write':
    case 'body_aborted':
      return 400;
    case 'invalid_tenant':
      return error instanceof InvalidTenantError && error.missing ? 401 : 400;
    case 'unknown_tenant':
      return 403;
    case 'write_bounced':
    case 'quota_conflict':
    case 'rollout_conflict':
    case 'kill_switch':
      return 409;
    case 'write_too_large':
      return 413;
    default:
      return 500;
  }
}

function exceededProblem(verdict: RefusedVerdict): ProblemDocument {
  const retryAfter = verdict.retryAfterSeconds;
  return {
    type: QUOTA_EXCEEDED_TYPE,
    title: 'Quota exceeded',
    status: 429,
    detail:
      `Storing ${mb(verdict.bytes)} would take the tenant beyond what it may hold. ` +
      (retryAfter === undefined
        ? 'Delete or shrink entries, or ask for a larger quota.'
        : `Enough entries will have expired in ${String(retryAfter)} s; or delete or shrink entries now.`),
    error: 'quota_exceeded',
    'violated-policies': [POLICY],
    ...quotaMember(verdict),
    ...(retryAfter !== undefined && { retry_after_seconds: retryAfter }),
  };
}

function tooLargeProblem(verdict: RefusedVerdict): ProblemDocument {
  return {
    type: 'about:blank',
    title: 'Content Too Large',
    status: 413,
    detail:
      verdict.reason === 'too_large'
        ? `A write of ${mb(verdict.bytes)} is larger than all that the tenant may hold.`
        : `A write of ${mb(verdict.bytes)} is larger than any single write may be.`,
    error: 'write_too_large',
    ...quotaMember(verdict),
  };
}

function quotaMember(verdict: RefusedVerdict): { quota?: Record<string, number> } {
  const numbers: QuotaNumbers | null = verdict.numbers;
  if (numbers === null) return {};
  return {
    quota: {
      limit_mb: bytesToMb(numbers.quotaBytes),
      used_mb: bytesToMb(numbers.usedBytes),
      overage_limit_mb: bytesToMb(numbers.hardBytes - numbers.quotaBytes),
      requested_mb: bytesToMb(verdict.bytes),
    },
  };
}

function mb(bytes: number): string {
  return bytes < 1_000 ? `${String(bytes)} bytes` : `${String(bytesToMb(bytes))} MB`;
}
