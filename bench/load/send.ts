import type { Dispatcher } from 'undici';
import { writeAt, type Traffic } from './traffic';

/** An answer that was not 200: what was to be measured is not what happened. */
export class NotServedError extends Error {
  constructor(path: string, status: number, text: string) {
    super(`PUT ${path} was answered ${status}: ${text}`);
  }
}

/** A body of the size that the traffic says, the same for all requests. */
export function bodyOf({ bytes }: Traffic): Buffer {
  return Buffer.alloc(bytes, 'x');
}

/**
 * Sends the n-th write. The lowest level of undici: the generator shares the machine with what it
 * measures.
 *
 * @param done called once; with a {@link NotServedError}, or what broke the connection, unless all is well
 */
export function sendWrite(
  dispatcher: Dispatcher,
  { traffic, body, n }: { traffic: Traffic; body: Buffer; n: number },
  done: (problem?: Error) => void,
): void {
  const { path, tenant } = writeAt(traffic, n);
  let status = 0;
  let text = '';
  dispatcher.dispatch(
    {
      ...{ path, body, method: 'PUT' },
      headers: ['x-tenant-id', tenant, 'content-type', 'application/octet-stream'],
    },
    {
      onRequestStart: () => undefined,
      onResponseStart(_controller, statusCode) {
        status = statusCode;
      },
      onResponseData(_controller, chunk) {
        if (status !== 200) text += chunk.toString();
      },
      onResponseEnd() {
        done(status === 200 ? undefined : new NotServedError(path, status, text));
      },
      onResponseError(_controller, error) {
        done(error);
      },
    },
  );
}
