import { createServer, request as send, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { InvalidWriteError } from '../core/errors';
import { bodyBytes, readBody } from './body-reader';
import type { QuotaRequest } from './http-exchange';

interface Sent {
  headers?: Record<string, string>;
  body?: string | Buffer;
  chunked?: boolean;
}

/** What a framework would hand over for a real request, parsed or not. */
async function received<T>(sent: Sent, look: (raw: IncomingMessage) => Promise<T> | T): Promise<T> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const outcome = new Promise<T>((resolve, reject) => {
    server.once('request', (raw: IncomingMessage, response) => {
      Promise.resolve(raw)
        .then(look)
        .then(resolve, reject)
        .finally(() => response.end());
    });
  });
  const { port } = server.address() as AddressInfo;
  const { body = '', headers = {} } = sent;
  const length = sent.chunked === true ? {} : { 'content-length': Buffer.byteLength(body) };
  const client = send({
    port,
    host: '127.0.0.1',
    method: 'POST',
    headers: { ...headers, ...length },
  });
  client.on('error', () => undefined).on('response', (response) => response.resume());
  client.write(body);
  client.end();
  try {
    return await outcome;
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

async function consumed(raw: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of raw) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** A request as it is after a parser, with what the parser left on it. */
async function parsed(raw: IncomingMessage, left: Partial<QuotaRequest>): Promise<QuotaRequest> {
  await consumed(raw);
  return { headers: raw.headers, raw, ...left };
}

describe('the size of a body that a parser has read', () => {
  it('is that of rawBody, of a Buffer, or of a text', async () => {
    const sizes = await received({ body: 'héllo' }, async (raw) => {
      const request = await parsed(raw, {});
      return [
        bodyBytes({ ...request, rawBody: Buffer.from('héllo'), body: {} }),
        bodyBytes({ ...request, body: Buffer.from('héllo') }),
        bodyBytes({ ...request, body: 'héllo' }),
      ];
    });
    expect(sizes).toEqual([6, 6, 6]);
  });

  it('is the Content-Length otherwise, which the parser has verified', async () => {
    const size = await received({ body: '{"a":1}' }, async (raw) =>
      bodyBytes(await parsed(raw, { body: { a: 1 } })),
    );
    expect(size).toBe(7);
  });

  it.each<[string, Sent]>([
    ['was compressed', { body: gzipSync('{}'), headers: { 'content-encoding': 'gzip' } }],
    ['came in chunks', { body: '{}', chunked: true }],
  ])('is not guessed when it %s', async (_, sent) => {
    const size = received(sent, async (raw) => bodyBytes(await parsed(raw, { body: {} })));
    await expect(size).rejects.toBeInstanceOf(InvalidWriteError);
  });
});

describe('the size of a multipart body that somebody else will read', () => {
  const headers = { 'content-type': 'multipart/form-data; boundary=x' };

  it('is its Content-Length, and the stream is left alone', async () => {
    const body = '--x\r\n\r\nvalue\r\n--x--\r\n';
    const [size, text] = await received({ headers, body }, async (raw) => {
      const known = bodyBytes({ headers: raw.headers, raw });
      return [known, (await consumed(raw)).toString()] as const;
    });
    expect([size, text]).toEqual([body.length, body]);
  });

  it('is not known when it comes in chunks', async () => {
    const size = received({ headers, body: 'x', chunked: true }, (raw) =>
      bodyBytes({ headers: raw.headers, raw }),
    );
    await expect(size).rejects.toThrow(/Content-Length/);
  });
});

describe('readBody', () => {
  it('gives back what a parser has left, or says that it left nothing', async () => {
    const left = await received({ body: 'x' }, async (raw) => {
      const request = await parsed(raw, { rawBody: Buffer.from('x'), body: {} });
      return readBody(request, { maxBytes: 10 });
    });
    expect(left.toString()).toBe('x');
    const nothing = received({ body: '{}' }, async (raw) =>
      readBody(await parsed(raw, { body: {} }), { maxBytes: 10 }),
    );
    await expect(nothing).rejects.toThrow(/rawBody: true/);
  });

  it('reads once, and gives the same Buffer again', async () => {
    const [first, second] = await received({ body: 'x' }, async (raw) => {
      const request: QuotaRequest = { headers: raw.headers, raw };
      return Promise.all([readBody(request, { maxBytes: 1 }), readBody(request, { maxBytes: 0 })]);
    });
    expect(first).toBe(second);
  });
});
