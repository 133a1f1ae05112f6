import { TenantCacheQuota } from '@app/quota';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { createDataSource } from '../../src/database/data-source';
import { audit } from '../integration/redis/auditor';
import { waitUntil } from '../support';
import { ServiceProcess } from './support/process';
import { bytes, type Answer } from './support/service';
import { Servers } from './support/stacks';

const KB = 1_024;

describe('SIGTERM', () => {
  let servers: Servers;
  let database: DataSource;
  let settings: Record<string, string>;
  const running: ServiceProcess[] = [];

  beforeAll(async () => {
    servers = await Servers.start();
    settings = await servers.settings({ adapter: 'express', stores: 'redis' });
    database = await createDataSource({
      databaseUrl: String(settings['DATABASE_URL']),
      dataDir: 'unused',
    });
  }, 60_000);

  afterEach(() => {
    for (const child of running.splice(0)) child.kill();
  });

  afterAll(async () => {
    await database.destroy();
    await servers.stop();
  });

  it.each(['express', 'fastify'])(
    'on %s lets what is under way end, refuses what is new, and leaves the books in order',
    async (adapter) => {
      const service = await ServiceProcess.start({ ...settings, HTTP_ADAPTER: adapter });
      running.push(service);
      await service.request('PUT', '/admin/quotas/acme', JSON.stringify({ quotaMb: 50 }));
      expect((await service.request('PUT', '/cache/kept', bytes(100 * KB))).status).toBeLessThan(
        202,
      );

      const underWay = Array.from({ length: 8 }, (_, i) =>
        service.request('PUT', `/probe/${adapter}-${String(i)}`, bytes(10 * KB)),
      );
      await waitUntil(() => service.count(/^holding/gm) === 8, { timeoutMs: 10_000 });
      service.signal('SIGTERM');
      const refusals: Answer[] = [];
      await waitUntil(
        async () => {
          const given = await service.request('PUT', '/cache/new', bytes(KB));
          if (given.status === 503) refusals.push(given);
          return refusals.length > 0;
        },
        { timeoutMs: 8_000 },
      );
      const { headers, json } = refusals[0]!;
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
      expect(headers.get('connection')).toBe('close');
      expect(json).toMatchObject({ status: 503, error: 'quota_unavailable' });

      for (let i = 0; i < 8; i++) {
        await service.request('DELETE', `/probe/${adapter}-${String(i)}`);
      }
      for (const given of await Promise.all(underWay)) expect(given.status).toBe(200);
      expect(await service.end()).toEqual([0, null]);

      const books = await audit(servers.redis.client(), 'acme');
      expect(books).toMatchObject({ reserved: 0, trueReserved: 0, open: 0 });
      expect(books.committed).toBe(books.trueCommitted);
      expect(books.committed).toBeGreaterThanOrEqual((100 + 8 * 10) * KB);
      const row = await database
        .getRepository(TenantCacheQuota)
        .findOneByOrFail({ tenantId: 'acme' });
      expect(row.currentUsageBytes).toBe(books.committed);
    },
    60_000,
  );

  it.each(['express', 'fastify'])(
    'on %s lets an answer be read to its end, however slowly within the time it has',
    async (adapter) => {
      const service = await ServiceProcess.start({ ...settings, HTTP_ADAPTER: adapter });
      running.push(service);
      await service.request('PUT', '/admin/quotas/acme', JSON.stringify({ quotaMb: 50 }));
      const size = 16 * 1_024 * KB;
      expect((await service.request('PUT', '/cache/large', bytes(size))).status).toBeLessThan(202);

      const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
      const idle = connect(Number(new URL(service.url).port), '127.0.0.1');
      idle.write('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n');
      await once(idle, 'data');
      socket.write('GET /cache/large HTTP/1.1\r\nHost: x\r\nX-Tenant-ID: acme\r\n\r\n');
      const [first] = (await once(socket, 'data')) as [Buffer];
      socket.pause();
      const head = first.subarray(0, first.indexOf('\r\n\r\n')).toString();
      expect(head).toContain('HTTP/1.1 200 OK');
      let read = first.length - head.length - 4;
      socket.on('data', (chunk: Buffer) => (read += chunk.length));
      socket.pause();

      const began = performance.now();
      service.signal('SIGTERM');
      // An idle one goes at once, which is when the server closes.
      await once(idle.resume(), 'close');
      await sleep(1_500);
      expect(read).toBeLessThan(size);
      socket.resume();
      await once(socket, 'close');
      expect(read).toBe(size);
      expect(await service.end()).toEqual([0, null]);
      expect(performance.now() - began).toBeLessThan(8_000);
    },
    60_000,
  );

  it('ends also when Redis is gone', async () => {
    const { redis } = servers;
    const service = await ServiceProcess.start(settings);
    running.push(service);
    await service.request('PUT', '/cache/kept', bytes(KB));
    await redis.kill();
    service.signal('SIGTERM');
    expect(await service.end()).toEqual([0, null]);
    await redis.restart();
  }, 60_000);
});
