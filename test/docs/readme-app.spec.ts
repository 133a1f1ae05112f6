import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { QuotaAdmin, QuotaChecker } from 'nestjs-cache-quota';
import { startPostgres, startRedis, type PostgresServer, type RedisServer } from '../support';
import type { ReportService } from './report.service';

const MB = 1_048_576;

/** README.md's application, on the servers it is written for. */
describe("README.md's application", () => {
  let redis: RedisServer;
  let postgres: PostgresServer;
  let app: INestApplication;
  let url: string;
  let reports: ReportService;

  beforeAll(async () => {
    [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
    process.env['REDIS_URL'] = redis.url;
    process.env['DATABASE_URL'] = postgres.url;
    // Reads the environment when it is loaded, as an application does.
    const { AppModule } = jest.requireActual<typeof import('./app.module')>('./app.module');
    const report = jest.requireActual<typeof import('./report.service')>('./report.service');
    const testing = await Test.createTestingModule({ imports: [AppModule] }).compile();
    app = testing.createNestApplication();
    app.enableShutdownHooks();
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
    reports = app.get(report.ReportService);
    await app.get(QuotaAdmin).set('acme', { quotaMb: 2 }, { actor: 'test' });
  });

  afterAll(async () => {
    await app.close();
    await Promise.all([redis.stop(), postgres.stop()]);
    delete process.env['REDIS_URL'];
    delete process.env['DATABASE_URL'];
  });

  function put(key: string, bytes: number): Promise<Response> {
    const headers = { 'Content-Type': 'application/octet-stream' };
    return fetch(`${url}/files/${key}`, { method: 'PUT', headers, body: Buffer.alloc(bytes) });
  }

  it('stores, refuses and gives back', async () => {
    const stored = await put('a', 1.5 * MB);
    expect(stored.status).toBe(200);
    expect(await stored.json()).toEqual({ key: 'a', decision: 'ALLOW' });
    expect(stored.headers.get('x-cache-quota-used')).toBe('1.5');

    const refused = await put('b', MB);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('content-type')).toContain('application/problem+json');
    expect(refused.headers.get('x-cache-quota-status')).toBe('exceeded');

    const removed = await fetch(`${url}/files/a`, { method: 'DELETE' });
    expect(await removed.json()).toEqual({ key: 'a', freedBytes: 1.5 * MB });
  });

  it('checks below HTTP', async () => {
    await expect(reports.save('acme', Buffer.alloc(1_000))).resolves.toBe('ALLOW');
    await expect(reports.save('acme', Buffer.alloc(3 * MB))).resolves.toBe('REJECT');
    const status = await app.get(QuotaChecker).status('acme');
    expect(status).toMatchObject({ usedBytes: 1_000, reservedBytes: 0 });
  });
});
