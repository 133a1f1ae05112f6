import { isNativeError } from 'node:util/types';
import { QuotaUnavailableError } from './errors';
import type { QuotaEvents } from './observer';

const MAX_DEPTH = 5;
const MAX_LENGTH = 300;

/** The event that tells of an error of ours. */
export function errorEvent(
  operation: string,
  error: unknown,
  tenant?: string,
): QuotaEvents['error'] {
  const cause = describeCause(error);
  return {
    operation,
    error: isNativeError(error) ? error.name : 'Error',
    ...(tenant !== undefined && { tenant }),
    ...(cause !== undefined && { cause }),
  };
}

/**
 * What lies behind an error, in one line that may be logged: the messages from its first cause on, or
 * its own when it has none. Credentials in URLs and after words like "password" are left out.
 */
export function describeCause(error: unknown): string | undefined {
  const messages: string[] = [];
  // Our own message says only which operation it was.
  let next = error instanceof QuotaUnavailableError ? error.cause : error;
  for (let depth = 0; depth < MAX_DEPTH && isNativeError(next); depth += 1) {
    if (!(next instanceof QuotaUnavailableError)) messages.push(messageOf(next));
    next = next.cause;
  }
  const text = messages.filter((message) => message !== '').join(': ');
  return text === '' ? undefined : safe(text);
}

/** Node tells of several refused addresses in one error without a message. */
function messageOf(error: Error): string {
  if (error.message !== '') return error.message;
  const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : [];
  return isNativeError(first) ? first.message : error.name;
}

function safe(text: string): string {
  return (
    text
      .replace(/\/\/[^/\s@]*@/g, '//***@')
      .replace(/\b(pass(?:word|wd)?|secret|token|auth)(\s*[=:]\s*)\S+/gi, '$1$2***')
      // eslint-disable-next-line no-control-regex -- nothing that would break a line of the log
      .replace(/[\u0000-\u001f\u007f]+/g, ' ')
      .slice(0, MAX_LENGTH)
  );
}
