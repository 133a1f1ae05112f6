import { isNativeError } from 'node:util/types';
import { QuotaError, QuotaUnavailableError, type StoreContact } from '../../core/errors';

/**
 * True when the server itself said that the statement failed, on a connection that goes on: nothing
 * of it was done. False for everything that leaves the outcome open: a timeout on this side, a
 * broken connection, a server that ends the session (classes 08, 57P, 58, XX).
 */
export function isRefusal(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !/^(08|57P|58|XX)/.test(code);
}

/** Isolation, deadlocks, resources, locks that are held, cancelled. */
const IN_THE_WAY_OF_ALL = /^(25|40|53|55|57)/;

/**
 * True for a refusal by what one of the calls in a statement asked for. False where what was in the way
 * is in the way of all of them.
 */
export function isOfOneCall(error: unknown): boolean {
  return isRefusal(error) && !IN_THE_WAY_OF_ALL.test((error as { code: string }).code);
}

/** Classes and codes of a server that serves nobody: no connection (08, 57P), none left (53300). */
const SERVES_NOBODY = /^(08...|57P..|53300)$/;
const SOCKET_LOST = /^(ECONN(REFUSED|RESET|ABORTED)|EPIPE|ENOTFOUND|EAI_AGAIN|E(HOST|NET)UNREACH)$/;
const CONNECTION_LOST = /^Connection terminated|^Client (was closed|has encountered)/;
const NO_ANSWER = /timeout/i;

/**
 * What an error of the driver says of the server. Whatever is not of the connection is an answer: a
 * row that breaks the rules or a lock that is held is one tenant's trouble.
 */
export function postgresContact(error: unknown): StoreContact {
  if (!isNativeError(error)) return 'silent';
  const { code } = error as { code?: unknown };
  if (typeof code === 'string' && SOCKET_LOST.test(code)) return 'lost';
  if (typeof code === 'string' && SERVES_NOBODY.test(code)) return 'lost';
  if (code === 'ETIMEDOUT') return 'silent';
  if (isRefusal(error)) return 'answered';
  if (CONNECTION_LOST.test(error.message)) return NO_ANSWER.test(error.message) ? 'silent' : 'lost';
  return NO_ANSWER.test(error.message) ? 'silent' : 'answered';
}

/** Lets the library's own errors through and turns whatever a driver throws into "unavailable". */
export function unavailable(
  operation: string,
  error: unknown,
  applied: 'no' | 'unknown' = 'no',
): QuotaError {
  if (error instanceof QuotaError) return error;
  const contact = postgresContact(error);
  return new QuotaUnavailableError(operation, { cause: error, applied, contact });
}
