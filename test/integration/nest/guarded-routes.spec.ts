import type { INestApplication } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { connect, type Server } from 'node:net';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { QuotaAdmin, QuotaChecker, QuotaModule, UsageTracker } from '@app/quota';
import { waitUntil } from '../../support';
import { probe, startApplication, type Adapter } from './application';

const MB = 1_048_576;
const TENANT = 'acme';

interface Answer {
  status: number;
  headers: Headers;
  body: Record<string, unknown> & { quota?: Record<string, number> };
}

describe.each<Adapter>(['express', 'fastify'])('a guarded route on %s', (adapter) => {
  let app: INestApplication;
  let url: string;
  let tenant: string;
  let count = 0;

  beforeAll(async () => {
    ({ app, url } = await startApplication(adapter, {
      maxWriteSizeMb: 20,
      defaultQuotaMb: 10,
      rateLimitHeaders: true,
    }));
  });
  afterAll(() => app.close());
  beforeEach(() => {
    count += 1;
    tenant = `${TENANT}-${count}`;
    probe.handled = 0;
    probe.undone = [];
  });

  async function call(method: string, path: string, init: RequestInit = {}): Promise<Answer> {
    const headers = { 'x-tenant-id': tenant, ...(init.headers as Record<string, string>) };
    const response = await fetch(url + path, { ...init, method, headers });
    const text = await response.text();
    const body = text === '' ? {} : (JSON.parse(text) as Answer['body']);
    return { status: response.status, headers: response.headers, body };
  }

  function json(value: unknown): RequestInit {
    return { headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) };
  }

  function connections(): Promise<number> {
    const server = app.getHttpServer() as Server;
    return promisify(server.getConnections.bind(server))();
  }

  async function usage(): Promise<{ committed: number; reserved: number }> {
    const now = await app.get(UsageTracker).read(tenant);
    return { committed: now.committedBytes, reserved: now.reservedBytes };
  }

  it('charges the bytes that arrived and says so in every header', async () => {
    const answer = await call('PUT', '/store/a', json({ value: 'x'.repeat(65_536 - 12) }));
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({ key: 'a', decision: 'ALLOW', mode: 'enforce' });
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'x-cache-quota-limit': '10',
      'x-cache-quota-used': '0.0625',
      'x-cache-quota-remaining': '9.9375',
      'x-cache-quota-percent': '0.63',
      'x-cache-quota-status': 'ok',
      'x-cache-quota-mode': 'enforce',
      'ratelimit-policy': `"cache-storage";q=${10 * MB};qu="content-bytes"`,
      ratelimit: `"cache-storage";r=${10 * MB - 65_536}`,
    });
    expect(await usage()).toEqual({ committed: 65_536, reserved: 0 });
  });

  it('answers a refusal as a problem document that says what to do, and charges nothing', async () => {
    await app
      .get(QuotaAdmin)
      .set(tenant, { quotaMb: 10, overageAllowed: true, overageLimitMb: 1 }, { actor: 'test' });
    const checker = app.get(QuotaChecker);
    await checker.run(
      { tenant, key: 'old', bytes: 11 * MB, ttlSeconds: 50 },
      async () => undefined,
    );
    const answer = await call('POST', '/fixed/' + tenant);
    expect(answer.status).toBe(429);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': expect.stringMatching(/^application\/problem\+json/),
      'cache-control': 'no-store',
      'retry-after': '50',
      'x-cache-quota-limit': '10',
      'x-cache-quota-used': '11',
      'x-cache-quota-remaining': '0',
      'x-cache-quota-percent': '110',
      'x-cache-quota-status': 'exceeded',
    });
    expect(answer.body).toEqual({
      type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
      title: 'Quota exceeded',
      status: 429,
      detail: expect.stringContaining('10 bytes'),
      error: 'quota_exceeded',
      'violated-policies': ['cache-storage'],
      quota: { limit_mb: 10, used_mb: 11, overage_limit_mb: 1, requested_mb: 0.00001 },
      retry_after_seconds: 50,
    });
    expect(await usage()).toEqual({ committed: 11 * MB, reserved: 0 });
  });

  it('has no Retry-After when nothing will expire', async () => {
    await app.get(QuotaChecker).run({ tenant, key: 'old', bytes: 10 * MB }, async () => undefined);
    const answer = await call('POST', '/fixed/' + tenant);
    expect(answer.status).toBe(429);
    expect(answer.headers.get('retry-after')).toBeNull();
    expect(answer.body).not.toHaveProperty('retry_after_seconds');
  });

  it('refuses what can never fit with 413', async () => {
    const answer = await call('POST', '/declared', json({ size_mb: 11 }));
    expect(answer.status).toBe(413);
    expect(answer.headers.get('x-cache-quota-status')).toBe('exceeded');
    expect(answer.body).toMatchObject({ error: 'write_too_large', quota: { requested_mb: 11 } });
    const above = await call('POST', '/declared', json({ size_mb: 21 }));
    expect(above.status).toBe(413);
    expect(above.headers.get('x-cache-quota-limit')).toBe('10');
  });

  it('takes a declared size in MB, and refuses what is none', async () => {
    expect((await call('POST', '/declared', json({ size_mb: 1.5 }))).status).toBe(201);
    expect((await usage()).committed).toBe(1.5 * MB);
    for (const size of [-50, 'NaN', '5', null, true, [], {}, 1e300, undefined]) {
      const answer = await call('POST', '/declared', json({ size_mb: size }));
      expect(answer.status).toBe(400);
      expect(answer.body).toMatchObject({
        error: 'invalid_write',
        errors: [{ where: 'size_mb', allowed: expect.stringContaining('MB') }],
      });
    }
    expect((await usage()).committed).toBe(1.5 * MB);
  });

  it('names what is wrong with the tenant', async () => {
    const missing = await fetch(`${url}/store/a`, { method: 'PUT' });
    expect(missing.status).toBe(401);
    expect(missing.headers.get('www-authenticate')).toBe('Bearer');
    for (const bad of ['{}', '__proto__', 'x'.repeat(129), 'a b', '-a']) {
      const answer = await call('PUT', '/store/a', { headers: { 'x-tenant-id': bad } });
      expect(answer.status).toBe(400);
      expect(answer.body).toMatchObject({ error: 'invalid_tenant' });
    }
    expect(probe.handled).toBe(0);
  });

  it('refuses a tenant header that stands twice', async () => {
    const text = await raw(
      url,
      'PUT /store/a HTTP/1.1\r\nHost: x\r\nX-Tenant-ID: a\r\nX-Tenant-ID: b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
    );
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text).toContain('more than once');
  });

  it('takes the tenant an auth guard has verified, and nobody else', async () => {
    const headers = { 'x-verified': tenant, 'x-tenant-id': 'someone-else' };
    expect((await call('POST', '/mine', { headers })).status).toBe(201);
    expect((await usage()).committed).toBe(10);
    expect((await call('POST', '/mine')).status).toBe(401);
  });

  it('refuses a key or ttl that is none', async () => {
    const long = await call('PUT', `/store/${'k'.repeat(513)}`);
    // Fastify's router has a limit of its own on parameters, which answers first.
    expect([400, 404, 414]).toContain(long.status);
    const ttl = await call('PUT', '/store/a?ttl=1.5');
    expect(ttl.status).toBe(400);
    expect(ttl.body).toMatchObject({ errors: [{ where: 'ttl' }] });
    expect(ttl.headers.get('x-cache-quota-used')).toBe('0');
    expect(ttl.headers.get('x-cache-quota-status')).toBe('ok');
    expect(probe.handled).toBe(0);
  });

  it('gives back when the handler fails, and shows it', async () => {
    const answer = await call('POST', '/fails/a');
    expect(answer.status).toBe(502);
    expect(answer.headers.get('x-cache-quota-used')).toBe('0');
    expect(answer.headers.get('x-cache-quota-status')).toBe('ok');
    expect(await usage()).toEqual({ committed: 0, reserved: 0 });
  });

  it('charges what was stored when the handler stores and then fails', async () => {
    const answer = await call('POST', '/half/a');
    expect(answer.status).toBe(502);
    expect(await usage()).toEqual({ committed: 40, reserved: 0 });
    expect(answer.headers.get('x-cache-quota-used')).toBe('0.000038');
  });

  it('undoes and refuses what turned out too large to fit', async () => {
    const answer = await call('POST', '/grows/a');
    expect(answer.status).toBe(429);
    expect(probe.undone).toEqual(['grows']);
    expect(await usage()).toEqual({ committed: 0, reserved: 0 });
  });

  it('leaves a reservation alone that the handler has settled itself', async () => {
    const answer = await call('POST', '/self/a');
    expect(answer.status).toBe(201);
    expect(await usage()).toEqual({ committed: 60, reserved: 0 });
    expect(answer.headers.get('x-cache-quota-used')).toBe('0.000057');
  });

  it('gives back when a later guard refuses', async () => {
    expect((await call('POST', '/guarded-later')).status).toBe(403);
    await waitUntil(async () => (await usage()).reserved === 0);
    expect(await usage()).toEqual({ committed: 0, reserved: 0 });
  });

  it('waits for the handler when the client goes away, and charges what it stored', async () => {
    let release: () => void = () => undefined;
    const entered = new Promise<void>((resolve) => (probe.entered = resolve));
    probe.gate = new Promise((resolve) => (release = resolve));
    const { port } = new URL(url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(
      `POST /slow/a HTTP/1.1\r\nHost: x\r\nX-Tenant-ID: ${tenant}\r\nContent-Length: 0\r\n\r\n`,
    );
    await entered;
    const before = await connections();
    socket.destroy();
    // The server has seen it go, and still the handler may store.
    await waitUntil(async () => (await connections()) < before);
    await new Promise(setImmediate);
    expect(await usage()).toEqual({ committed: 0, reserved: 100 });
    release();
    await waitUntil(async () => (await usage()).committed === 100);
    expect(await usage()).toEqual({ committed: 100, reserved: 0 });
  });

  it('guards a whole controller but what it skips, and not what is excluded by path', async () => {
    expect((await call('POST', '/all/counted')).headers.get('x-cache-quota-used')).toBe('0.000001');
    expect((await call('POST', '/all/free')).headers.get('x-cache-quota-used')).toBeNull();
    expect((await call('GET', '/health/live')).headers.get('x-cache-quota-used')).toBeNull();
    expect((await call('GET', '/healthXYZ')).headers.get('x-cache-quota-used')).not.toBeNull();
    expect((await usage()).committed).toBe(101);
  });

  it('admits exactly as many concurrent writes as fit, and each sees true numbers', async () => {
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        call('POST', '/declared', json({ size_mb: 1, ignored: i })),
      ),
    );
    const admitted = answers.filter(({ status }) => status === 201);
    expect(admitted).toHaveLength(10);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(20);
    const used = admitted.map(({ headers }) => Number(headers.get('x-cache-quota-used')));
    expect(used.sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(await usage()).toEqual({ committed: 10 * MB, reserved: 0 });
  });
});

describe.each<Adapter>(['express', 'fastify'])('bodies read by the library on %s', (adapter) => {
  let app: INestApplication;
  let url: string;
  const headers = { 'x-tenant-id': 'raw', 'content-type': 'text/plain' };

  beforeAll(async () => {
    const quota = QuotaModule.forRootAsync({
      useFactory: () => ({ maxWriteSizeMb: 2, defaultQuotaMb: 10 }),
    });
    ({ app, url } = await startApplication(adapter, quota, true));
  });
  afterAll(() => app.close());

  const used = async (): Promise<number> => {
    const usage = await app.get(UsageTracker).read('raw');
    expect(usage.reservedBytes).toBe(0);
    return usage.committedBytes;
  };
  const post = (
    path: string,
    body: NonNullable<RequestInit['body']>,
    more: Record<string, string> = {},
  ) =>
    fetch(url + path, {
      method: 'POST',
      headers: { ...headers, ...more },
      body,
      duplex: 'half',
    });

  it('charges the bytes as they came, and hands them to the handler', async () => {
    const answer = await post('/raw/a', Buffer.from([7, 0, 255]));
    expect(await answer.json()).toEqual({ bytes: 3, first: 7 });
    expect(await used()).toBe(3);
    expect((await post('/raw/a', '')).status).toBe(201);
    expect(await used()).toBe(0);
  });

  it('charges what a compressed body holds', async () => {
    const answer = await post('/raw/a', gzipSync(Buffer.alloc(90_000)), {
      'content-encoding': 'gzip',
    });
    expect(await answer.json()).toEqual({ bytes: 90_000, first: 0 });
    expect(await used()).toBe(90_000);
  });

  it.each([
    ['a longer body than one write may have', Buffer.alloc(2 * MB + 1), {}],
    ['a gzip bomb', gzipSync(Buffer.alloc(50 * MB)), { 'content-encoding': 'gzip' }],
  ])('stops %s with 413 and charges nothing', async (_, body, more) => {
    const before = await used();
    const answer = await post('/raw/b', body, more);
    expect(answer.status).toBe(413);
    expect(answer.headers.get('x-cache-quota-limit')).toBe('10');
    expect(await answer.json()).toMatchObject({ error: 'write_too_large' });
    expect(await used()).toBe(before);
  });

  it('stops a chunked body without end', async () => {
    const before = await used();
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(64 * 1_024)),
    });
    const answer = await post('/raw/b', endless).catch((error: unknown) => error);
    if (answer instanceof Response) expect(answer.status).toBe(413);
    expect(await used()).toBe(before);
  });

  it.each([
    ['not gzip at all', { 'content-encoding': 'gzip' }],
    ['an unknown coding', { 'content-encoding': 'zstd' }],
  ])('refuses %s with 400', async (body, more) => {
    const before = await used();
    const answer = await post('/raw/b', body, more);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: 'invalid_write' });
    expect(await used()).toBe(before);
  });

  it('reserves nothing for a client that goes away in the middle of its body', async () => {
    const before = await used();
    const { port } = new URL(url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(
      'POST /raw/b HTTP/1.1\r\nHost: x\r\nX-Tenant-ID: raw\r\nContent-Length: 1000\r\n\r\nhalf',
    );
    await new Promise((resolve) => socket.once('connect', resolve));
    await new Promise(setImmediate);
    socket.destroy();
    expect((await post('/raw/c', 'x')).status).toBe(201);
    expect(await used()).toBe(before + 1);
    await app.get(QuotaChecker).remove('raw', 'c');
  });

  it('settles by what a handler has read itself', async () => {
    const answer = await post('/read/d', 'hello');
    expect(await answer.json()).toEqual({ bytes: 5 });
    await app.get(QuotaChecker).remove('raw', 'd');
    const endless = new ReadableStream<Uint8Array>({
      start: (controller) => {
        controller.enqueue(new Uint8Array(5));
        controller.close();
      },
    });
    const chunked = await post('/read/d', endless);
    expect(chunked.status).toBe(400);
    expect(await chunked.json()).toMatchObject({ errors: [{ where: 'Content-Length' }] });
  });

  it('refuses by the announced size before the body is sent', async () => {
    for (let i = 0; i < 5; i += 1) {
      await app.get(QuotaChecker).run({ tenant: 'full', bytes: 2 * MB }, async () => undefined);
    }
    const { port } = new URL(url);
    const socket = connect(Number(port), '127.0.0.1');
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const head = `POST /raw/b HTTP/1.1\r\nHost: x\r\nX-Tenant-ID: full\r\nContent-Length: ${2 * MB}\r\n\r\n`;
    socket.write(head);
    await waitUntil(() => text.includes('quota_exceeded'));
    expect(text).toMatch(/^HTTP\/1\.1 429 /);
    socket.destroy();
  });
});

describe('modes', () => {
  it('checks nothing while off', async () => {
    const { app, url } = await startApplication('express', { enabled: false, defaultQuotaMb: 1 });
    const answer = await fetch(`${url}/store/a`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ value: 'x'.repeat(50_000) }),
    });
    expect(await answer.json()).toEqual({ key: 'a', decision: 'ALLOW', mode: 'off' });
    expect(answer.headers.get('x-cache-quota-used')).toBeNull();
    await app.close();
  });

  it('refuses nothing in shadow, and says what it would have', async () => {
    const { app, url } = await startApplication('fastify', { logOnly: true, defaultQuotaMb: 1 });
    const answer = await fetch(`${url}/declared`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-tenant-id': 'acme' },
      body: JSON.stringify({ size_mb: 2 }),
    });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('x-cache-quota-mode')).toBe('shadow');
    expect(answer.headers.get('x-cache-quota-status')).toBe('exceeded');
    expect(answer.headers.get('x-cache-quota-used')).toBe('2');
    await app.close();
  });
});

function raw(url: string, request: string): Promise<string> {
  const { port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1', () => socket.write(request));
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('end', () => {
      resolve(text);
    });
    socket.on('error', reject);
  });
}

describe("requests made by Fastify's inject(), as in tests", () => {
  it('are charged like those that come through a socket', async () => {
    const { app } = await startApplication('fastify', {});
    try {
      const { statusCode, headers } = await (app as NestFastifyApplication).inject({
        method: 'PUT',
        url: '/store/a',
        headers: { 'X-Tenant-ID': TENANT, 'content-type': 'application/json' },
        payload: '{"a":1}',
      });
      expect(statusCode).toBe(200);
      expect(headers['x-cache-quota-used']).toBe('0.000007');
      expect(await app.get(UsageTracker).read(TENANT)).toMatchObject({ committedBytes: 7 });
    } finally {
      await app.close();
    }
  });
});
