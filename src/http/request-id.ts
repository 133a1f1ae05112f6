import type { IncomingMessage } from 'node:http';

/** A gateway's id where it is harmless text, so that its log lines and ours can be put together. */
export function requestId({ headers }: IncomingMessage): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : crypto.randomUUID();
}
