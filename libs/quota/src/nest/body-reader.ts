import type { IncomingMessage } from 'node:http';
import type { Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { InvalidWriteError, QuotaError } from '../core/errors';
import { rawRequest, type QuotaRequest } from './http-exchange';

/** A body that is longer than allowed, counted after decoding. Nothing was charged. HTTP 413. */
export class BodyTooLargeError extends QuotaError {
  readonly code = 'write_too_large';

  constructor(readonly maxBytes: number) {
    super(`The body is longer than the ${String(maxBytes)} bytes that one write may have.`);
  }
}

/** The client went away before its body had arrived. Nobody reads the answer. */
export class BodyAbortedError extends QuotaError {
  readonly code = 'body_aborted';

  constructor() {
    super('The client closed the connection before the body had arrived.');
  }
}

const read = Symbol('quota body');
type Remembering = QuotaRequest & { [read]?: Promise<Buffer> };

/** How much of an unwanted body is read and thrown away so that the client gets to see the answer. */
const DISCARD_BYTES = 128 * 1_048_576;
const DISCARD_MS = 5_000;

/**
 * The whole body, decoded (gzip, deflate, br), counted against a running cap. Read once a request:
 * asked again, the same Buffer comes back. Also put on the request as `body`, for `@Body()`.
 *
 * @throws BodyTooLargeError as soon as the cap is passed; the rest is discarded.
 * @throws BodyAbortedError when the client goes away. InvalidWriteError when decoding fails, or a
 * parser has consumed the body and kept no bytes.
 */
export function readBody(request: QuotaRequest, options: { maxBytes: number }): Promise<Buffer> {
  const remembering = request as Remembering;
  remembering[read] ??= bufferOf(request, options.maxBytes);
  return remembering[read];
}

/** The size of a body some parser has read before us; undefined when the stream is still unread. */
export function bodyBytes(request: QuotaRequest): number | undefined {
  if (request.rawBody !== undefined) return request.rawBody.length;
  if (Buffer.isBuffer(request.body)) return request.body.length;
  if (isUnread(request)) return isMultipart(request) ? declaredLength(request) : undefined;
  if (typeof request.body === 'string') return Buffer.byteLength(request.body);
  return declaredLength(request);
}

/** Lets go of a body nobody wants, within bounds, so that the client can read why. */
export function discardBody(request: QuotaRequest): void {
  const raw = rawRequest(request);
  if (raw.complete || raw.destroyed) return;
  // Its sender waits for a word to begin, and the refusal is that word.
  if (raw.headers.expect !== undefined && !raw.readableDidRead) return;
  let left = DISCARD_BYTES;
  const timer = setTimeout(() => raw.socket.destroy(), DISCARD_MS).unref();
  raw.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) raw.socket.destroy();
  });
  const done = (): void => {
    clearTimeout(timer);
  };
  raw.once('end', done).once('close', done).resume();
}

async function bufferOf(request: QuotaRequest, maxBytes: number): Promise<Buffer> {
  const parsed = request.rawBody ?? request.body;
  if (Buffer.isBuffer(parsed)) return parsed;
  if (!isUnread(request)) throw unknownSize();
  const body = await collect(request, maxBytes);
  request.body = body;
  return body;
}

function collect(request: QuotaRequest, maxBytes: number): Promise<Buffer> {
  const raw = rawRequest(request);
  const declared = Number(raw.headers['content-length'] ?? 0);
  const decoder = decoderFor(raw);
  if (decoder === null && declared > maxBytes) {
    discardBody(request);
    return Promise.reject(new BodyTooLargeError(maxBytes));
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let total = 0;
    const source = decoder === null ? raw : raw.pipe(decoder);
    const finish = (error?: Error): void => {
      source.off('data', onData).off('end', onEnd);
      raw.off('close', onClose).off('error', onClose);
      if (error === undefined) {
        resolve(Buffer.concat(chunks, total));
        return;
      }
      if (decoder !== null) raw.unpipe(decoder);
      decoder?.destroy();
      discardBody(request);
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      total += chunk.length;
      if (total > maxBytes) finish(new BodyTooLargeError(maxBytes));
      else chunks.push(chunk);
    };
    const onEnd = (): void => {
      finish();
    };
    const onClose = (): void => {
      if (!raw.complete) finish(new BodyAbortedError());
    };
    decoder?.once('error', () => {
      finish(notDecodable(raw));
    });
    source.on('data', onData).once('end', onEnd);
    raw.once('close', onClose).once('error', onClose);
  });
}

function decoderFor(raw: IncomingMessage): Transform | null {
  const coding = raw.headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  switch (coding) {
    case 'identity':
    case '':
      return null;
    case 'gzip':
    case 'x-gzip':
      return createGunzip();
    case 'deflate':
      return createInflate();
    case 'br':
      return createBrotliDecompress();
    default:
      throw new InvalidWriteError(
        { where: 'Content-Encoding', allowed: 'identity, gzip, deflate, br' },
        'The Content-Encoding is not supported. Allowed: identity, gzip, deflate, br, one at a time.',
      );
  }
}

function isUnread(request: QuotaRequest): boolean {
  const raw = rawRequest(request);
  return !raw.readableEnded && !raw.readableDidRead;
}

function isMultipart(request: QuotaRequest): boolean {
  return request.headers['content-type']?.toLowerCase().startsWith('multipart/') ?? false;
}

function declaredLength(request: QuotaRequest): number {
  const { headers } = request;
  if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined)
    return 0;
  const length = Number(headers['content-length']);
  if (headers['content-encoding'] === undefined && Number.isSafeInteger(length)) return length;
  throw unknownSize();
}

function unknownSize(): InvalidWriteError {
  return new InvalidWriteError(
    { where: 'body', allowed: 'a body whose bytes are known' },
    'The size of the body in bytes is not known: a parser has consumed it, or it is multipart and ' +
      'came without a Content-Length. Create the application with { rawBody: true }, or give the ' +
      'route a size resolver of its own.',
  );
}

function notDecodable(raw: IncomingMessage): InvalidWriteError {
  const coding = raw.headers['content-encoding'] ?? '';
  return new InvalidWriteError(
    { where: 'body', allowed: `a body in the coding that Content-Encoding names (${coding})` },
    `The body could not be decoded as ${coding}.`,
  );
}
