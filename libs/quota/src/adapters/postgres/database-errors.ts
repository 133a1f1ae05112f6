import { QuotaError, QuotaUnavailableError } from '../../core/errors';

/**
 * True when the server itself said that the statement failed, on a connection that goes on: nothing
 * of it was done. False for everything that leaves the outcome open: a timeout on this side, a
 * broken connection, a server that ends the session (classes 08, 57P, 58, XX).
 */
export function isRefusal(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !/^(08|57P|58|XX)/.test(code);
}

/** Lets the library's own errors through and turns whatever a driver throws into "unavailable". */
export function unavailable(
  operation: string,
  error: unknown,
  applied: 'no' | 'unknown' = 'no',
): QuotaError {
  if (error instanceof QuotaError) return error;
  return new QuotaUnavailableError(operation, { cause: error, applied });
}
