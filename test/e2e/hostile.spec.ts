import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { waitUntil } from '../support';
import { head, RawConnection, sendRaw } from './support/raw';
import { MB, Service, type Tenant } from './support/service';

jest.setTimeout(60_000);

const MAX_MB = 2;

/** What must not be taken, what is said to it, and that it leaves no trace. */
describe.each(['express', 'fastify'])('input that nobody should send, on %s', (adapter) => {
  let service: Service;
  let tenant: Tenant;

  beforeAll(async () => {
    service = await Service.start({
      HTTP_ADAPTER: adapter,
      QUOTA_MAX_WRITE_SIZE_MB: String(MAX_MB),
      QUOTA_DEFAULT_QUOTA_MB: '10',
    });
  });

  afterAll(async () => {
    await service.stop();
  });

  beforeEach(async () => {
    tenant = await service.tenant();
  });

  afterEach(async () => {
    await waitUntil(async () => (await tenant.standing()).reservedBytes === 0);
    expect(await tenant.used()).toBe(0);
  });

  const put = (...lines: string[]): string =>
    head('PUT /cache/key HTTP/1.1', `X-Tenant-ID: ${tenant.id}`, 'Connection: close', ...lines);

  const statusOf = (text: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0);

  describe('tenants', () => {
    it.each([
      ['none', [], 401],
      ['an empty one', ['X-Tenant-ID:'], 401],
      ['two', ['X-Tenant-ID: acme', 'X-Tenant-ID: globex'], 400],
      ['the same twice', ['X-Tenant-ID: acme', 'x-tenant-id: acme'], 400],
      ['15 KB of one', [`X-Tenant-ID: ${'a'.repeat(15_000)}`], 400],
      ['__proto__', ['X-Tenant-ID: __proto__'], 400],
      ['braces', ['X-Tenant-ID: {}'], 400],
      ['half a hash tag', ['X-Tenant-ID: x}y'], 400],
      ['a line break', ['X-Tenant-ID: acme\rX-Evil: 1'], 400],
      ['a bare line feed', ['X-Tenant-ID: acme\nX-Evil: 1'], 400],
      ['a NUL', ['X-Tenant-ID: ac\0me'], 400],
      ['umlauts', ['X-Tenant-ID: t\xe4nant'], 400],
    ])('refuses %s', async (_name, headers, status) => {
      const text = await sendRaw(
        service,
        `${head('PUT /cache/key HTTP/1.1', ...headers, 'Connection: close', 'Content-Length: 1')}x`,
      );
      expect(statusOf(text)).toBe(status);
      expect(text).toContain('application/problem+json');
      expect(text).not.toMatch(/^x-evil/im);
    });

    it('cannot be reached by another name than their own', async () => {
      const escaped = await tenant.request('PUT', '/cache/key', {
        headers: { 'X-Tenant-ID': `${tenant.id}:other` },
        body: 'x',
      });
      expect(escaped.status).toBe(400);
    });
  });

  describe('sizes', () => {
    it.each([
      '-50',
      'NaN',
      'Infinity',
      '1e3',
      '0x10',
      '1.5',
      '+5',
      '٥',
      '9007199254740993',
      '1 2',
      '',
    ])('refuses Content-Length %j', async (length) => {
      const text = await sendRaw(service, `${put(`Content-Length: ${length}`)}xxxxx`);
      expect([400, 413]).toContain(statusOf(text));
      expect(text).toContain('application/problem+json');
    });

    it('refuses a length beside chunks', async () => {
      const text = await sendRaw(
        service,
        `${put('Content-Length: 5', 'Transfer-Encoding: chunked')}5\r\nhello\r\n0\r\n\r\n`,
      );
      expect(statusOf(text)).toBe(400);
    });

    it('takes no body for an empty one', async () => {
      const answer = await tenant.request('PUT', '/cache/key');
      expect([answer.status, await answer.json()]).toEqual([
        201,
        { key: 'key', bytes: 0, expiresAt: null },
      ]);
    });

    it('refuses an announced size beyond the maximum before it is sent', async () => {
      const text = await sendRaw(service, put(`Content-Length: ${500 * MB}`));
      expect(statusOf(text)).toBe(413);
      expect(text).toMatch(/^connection: close/im);
      expect(text).toMatch(/^x-cache-quota-status: exceeded/im);
      expect(text).toContain('write_too_large');
    });

    it('is asked for when it is wanted, and not when it is refused anyway', async () => {
      const expecting = async (length: number): Promise<RawConnection> => {
        const connection = await RawConnection.open(service);
        await connection.write(put(`Content-Length: ${length}`, 'Expect: 100-continue'));
        await waitUntil(() => connection.status !== 0);
        return connection;
      };
      const refused = await expecting(500 * MB);
      expect(refused.status).toBe(413);
      expect(refused.text).not.toContain('100 Continue');
      await refused.vanish();
      const wanted = await expecting(5);
      expect(wanted.status).toBe(100);
      await wanted.write('hello');
      await waitUntil(() => wanted.text.includes('HTTP/1.1 201'));
      await wanted.vanish();
      await tenant.delete('key');
    });

    it('stops a chunked body without an end, and the client sees why', async () => {
      const connection = await RawConnection.open(service);
      await connection.write(put('Transfer-Encoding: chunked'));
      const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
      let sent = 0;
      while (connection.status === 0 && sent < 100 * MB) {
        await connection.write(chunk);
        sent += 0x10000;
      }
      await waitUntil(() => connection.status !== 0);
      expect(connection.status).toBe(413);
      expect(sent).toBeLessThan(50 * MB);
      await waitUntil(async () => !(await connection.write(chunk)) || connection.isClosed, {
        timeoutMs: 15_000,
      });
    });

    it('reads no more than was declared', async () => {
      const text = await sendRaw(
        service,
        `${put('Content-Length: 3')}abcDELETE /cache/key HTTP/1.1\r\n`,
      );
      expect(statusOf(text)).toBe(201);
      expect(text).toContain('"bytes":3');
      await tenant.delete('key');
    });

    it('lets the client read the answer although it has not sent all', async () => {
      const body = Buffer.alloc(20 * MB, 'x');
      const answer = await tenant.put('key', body);
      expect(answer.status).toBe(413);
      expect(answer.json).toMatchObject({ status: 413 });
    });
  });

  describe('codings', () => {
    it.each([
      ['gzip', gzipSync],
      ['deflate', deflateSync],
      ['br', brotliCompressSync],
    ])('charges what is stored of a body in %s', async (coding, compress) => {
      const answer = await tenant.put('key', compress('x'.repeat(90_008)), {
        headers: { 'Content-Encoding': coding },
      });
      expect([answer.status, answer.json['bytes']]).toEqual([201, 90_008]);
      expect(await tenant.used()).toBe(90_008);
      expect(await (await tenant.get('key')).text()).toBe('x'.repeat(90_008));
      await tenant.delete('key');
    });

    it('stops a bomb at the maximum', async () => {
      const bomb = gzipSync(Buffer.alloc(200 * MB));
      expect(bomb.length).toBeLessThan(MB);
      const answer = await tenant.put('key', bomb, { headers: { 'Content-Encoding': 'gzip' } });
      expect(answer.status).toBe(413);
    });

    it.each([
      ['gzip', 'this is no gzip'],
      ['gzip', gzipSync('cut short'.repeat(1_000)).subarray(0, 20)],
      ['zstd', 'x'],
      ['gzip, gzip', 'x'],
    ])('refuses a body that is not in %s', async (coding, body) => {
      const answer = await tenant.put('key', body, { headers: { 'Content-Encoding': coding } });
      expect(answer.status).toBe(400);
      expect(answer.json).toMatchObject({ error: 'invalid_write' });
    });
  });

  describe('keys, lives and types', () => {
    it.each([
      ['%zz', 400],
      ['%ff', 400],
      ['%', 400],
      ['%e2%82', 400],
      [encodeURIComponent('x'.repeat(513)), 400],
      [encodeURIComponent('€'.repeat(171)), 400],
      ['', 404],
    ])('refuses the key %s', async (key, status) => {
      const answer = await tenant.request('PUT', `/cache/${key}`, { body: 'x' });
      expect(answer.status).toBe(status);
      expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
      const problem: unknown = await answer.json();
      if (status === 404) return;
      const where = expect.stringMatching(/^(path|key)$/);
      expect(problem).toMatchObject({ errors: [{ where, allowed: expect.any(String) }] });
    });

    it.each(['x'.repeat(512), '€'.repeat(170), '/', '__proto__', 'a\0b', 'a b+c', '\u{1f600}'])(
      'takes the key %j',
      async (key) => {
        expect((await tenant.put(key, 'value')).json).toMatchObject({ key, bytes: 5 });
        expect(await (await tenant.get(key)).text()).toBe('value');
        expect((await tenant.delete(key)).status).toBe(204);
      },
    );

    it.each(['0', '-1', '1.5', '1e3', '0x10', 'NaN', '', ' 1', '01', '315360001', '٣'])(
      'refuses ttl=%j',
      async (ttl) => {
        const answer = await tenant.request('PUT', `/cache/key?ttl=${encodeURIComponent(ttl)}`, {
          body: 'x',
        });
        expect(answer.status).toBe(400);
        expect(await answer.json()).toMatchObject({ errors: [{ where: 'ttl' }] });
      },
    );

    it('refuses two lives', async () => {
      const answer = await tenant.request('PUT', '/cache/key?ttl=1&ttl=2', { body: 'x' });
      expect(answer.status).toBe(400);
      await answer.text();
    });

    it.each(['nonsense', 'text/', '/html', `text/${'x'.repeat(300)}`, 'text/html; =', 'a/b c'])(
      'refuses the type %j',
      async (type) => {
        const answer = await tenant.put('key', 'x', { headers: { 'Content-Type': type } });
        expect(answer.status).toBe(400);
        expect(answer.json).toMatchObject({ errors: [{ where: 'Content-Type' }] });
      },
    );

    it('gives a page back so that it can do nothing', async () => {
      const type = 'text/html; charset="utf-8"';
      const page = '<script>alert(1)</script>';
      await tenant.put('key', page, { headers: { 'Content-Type': type } });
      const { headers } = await tenant.get('key');
      expect(headers.get('content-type')).toBe(type);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('content-security-policy')).toContain('sandbox');
      await tenant.delete('key');
    });
  });

  describe('HTTP', () => {
    it.each([
      ['no HTTP', 'hello\r\n\r\n', 400],
      ['header lines without an end', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(40_000)}`, 431],
    ])('answers %s with a problem document', async (_name, data, status) => {
      const text = await sendRaw(service, data);
      expect(statusOf(text)).toBe(status);
      expect(text).toContain('application/problem+json');
    });

    it('answers a route that does not exist with a problem document', async () => {
      const answer = await service.fetch('/nowhere');
      expect(answer.status).toBe(404);
      expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
      expect(answer.headers.get('x-powered-by')).toBeNull();
      expect(await answer.json()).toEqual({
        type: 'about:blank',
        title: 'Not Found',
        status: 404,
        detail: 'There is no such route.',
        error: 'not_found',
      });
    });
  });
});
