import { HttpException } from '@nestjs/common';
import type { ProblemDocument } from '@app/quota';
import { STATUS_CODES } from 'node:http';

export const PROBLEM_JSON = 'application/problem+json';

/** A wrong value of a request: where it stood and what may stand there. */
export interface WrongInput {
  readonly where: string;
  readonly allowed: string;
}

export interface ProblemDetails {
  readonly errors?: readonly WrongInput[];
  readonly headers?: Readonly<Record<string, string>>;
}

/** A problem document (RFC 9457) with a stable code for programs. */
export function problemDocument(
  status: number,
  error: string,
  detail: string,
  errors?: readonly WrongInput[],
): ProblemDocument {
  const title = STATUS_CODES[status] ?? 'Error';
  return { type: 'about:blank', title, status, detail, error, ...(errors && { errors }) };
}

/** 400 for a path that is not percent-encoded UTF-8; each framework finds that in its own way. */
export function malformedUrl(): ProblemDocument {
  return problemDocument(400, 'invalid_request', 'The URL is malformed.', [
    { where: 'path', allowed: 'percent-encoded UTF-8' },
  ]);
}

/** What the service throws where a request cannot be served. */
export class ProblemException extends HttpException {
  readonly problem: ProblemDocument;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, error: string, detail: string, details: ProblemDetails = {}) {
    const problem = problemDocument(status, error, detail, details.errors);
    super(problem, status);
    this.problem = problem;
    this.headers = details.headers ?? {};
  }
}

/** 400: what was wrong, where, and what is allowed. */
export function invalidInput(where: string, allowed: string, detail?: string): ProblemException {
  return invalidInputs([{ where, allowed }], detail ?? `${where} is not usable.`);
}

/** 400 for several values at once. */
export function invalidInputs(errors: readonly WrongInput[], detail: string): ProblemException {
  return new ProblemException(400, 'invalid_request', detail, { errors });
}

/** 401: nobody, or somebody we can't believe. */
export function unauthorized(detail: string, challenge = 'Bearer'): ProblemException {
  const headers = { 'WWW-Authenticate': challenge };
  return new ProblemException(401, 'unauthorized', detail, { headers });
}

/** 403: somebody, but not for this. */
export function forbidden(detail: string): ProblemException {
  return new ProblemException(403, 'forbidden', detail);
}
