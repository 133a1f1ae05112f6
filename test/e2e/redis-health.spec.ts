import { Logger } from '@nestjs/common';
import { startPostgres, startRedis, waitUntil, type RedisServer } from '../support';
import { startCluster } from '../integration/redis/cluster-servers';
import { startReplicated } from '../integration/redis/replica';
import { MASTER_NAME, startSentinels } from '../integration/redis/sentinel-servers';
import { Service } from './support/service';

interface Health {
  readonly http: number;
  readonly status: string;
  readonly details: Record<
    string,
    { status: string; message?: string; journal?: { entries: number } }
  >;
}

let ends: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const end of ends.toReversed()) await end();
  ends = [];
});

async function own<T extends { stop(): Promise<void> }>(started: Promise<T>): Promise<T> {
  const thing = await started;
  ends.push(() => thing.stop());
  return thing;
}

async function ready(service: Service): Promise<Health> {
  const response = await service.fetch('/health/ready');
  return { http: response.status, ...((await response.json()) as Omit<Health, 'http'>) };
}

async function withPostgres(store: string, url: string): Promise<Service> {
  const postgres = await own(startPostgres());
  const DATABASE_URL = await postgres.createDatabase();
  return own(Service.start({ REDIS_URL: url, DATABASE_URL, CACHE_STORE: store }));
}

async function stores(service: Service): Promise<void> {
  const tenant = await service.tenant({ quotaMb: 1 });
  expect((await tenant.put('k', 1_000)).status).toBe(201);
}

it('values in PostgreSQL: Redis away is degraded and ready, and writes go on', async () => {
  const redis: RedisServer = await own(startRedis());
  const service = await withPostgres('postgres', redis.url);
  expect(await ready(service)).toMatchObject({ http: 200, status: 'ok' });
  await redis.kill();
  await waitUntil(async () => (await ready(service)).status === 'degraded');
  const health = await ready(service);
  expect(health).toMatchObject({ http: 200, details: { redis: { status: 'degraded' } } });
  expect(health.details['redis']?.message).toContain('PostgreSQL decides');
  await stores(service);
  expect((await ready(service)).details['quota']).toMatchObject({
    ...{ status: 'degraded', store: 'redis', decides: 'postgres' },
    journal: { tenants: 1, entries: 1 },
  });
  await redis.restart();
  await waitUntil(async () => (await ready(service)).status === 'ok');
  await waitUntil(async () => (await ready(service)).details['quota']?.journal?.entries === 0);
  expect((await ready(service)).details['quota']).toMatchObject({ decides: 'redis' });
});

it('values in Redis: PostgreSQL away is degraded and ready, and those who are known store', async () => {
  const [redis, postgres] = [await own(startRedis()), await own(startPostgres())];
  const service = await own(
    Service.start({ REDIS_URL: redis.url, DATABASE_URL: await postgres.createDatabase() }),
  );
  const tenant = await service.tenant({ quotaMb: 1 });
  await tenant.put('k', 1);
  await postgres.kill();
  await waitUntil(async () => (await ready(service)).status === 'degraded');
  expect(await ready(service)).toMatchObject({
    http: 200,
    details: { database: { status: 'degraded' }, quota: { status: 'degraded', decides: 'redis' } },
  });
  expect((await tenant.put('l', 1)).status).toBe(201);
});

it('a replica that has fallen behind is degraded, and ready', async () => {
  const { master, replica } = await own(startReplicated());
  const service = await withPostgres('redis', master.url);
  expect(await ready(service)).toMatchObject({
    status: 'ok',
    details: { redis: { replicas: 1, masters: 1, serving: 1 } },
  });
  replica.pause();
  await stores(service);
  await waitUntil(async () => (await ready(service)).status === 'degraded', { timeoutMs: 20_000 });
  const { http, details } = await ready(service);
  expect(http).toBe(200);
  expect(details['redis']?.message).toMatch(/^a replica is \d+ s and [1-9]\d* bytes behind$/);
  replica.resume();
  await waitUntil(async () => (await ready(service)).status === 'ok');
});

it('values in Redis: Redis away is down', async () => {
  const redis = await own(startRedis());
  const service = await withPostgres('redis', redis.url);
  expect(await ready(service)).toMatchObject({ http: 200, status: 'ok' });
  await redis.kill();
  await waitUntil(async () => (await ready(service)).http === 503);
  expect(await ready(service)).toMatchObject({
    status: 'error',
    details: { quota: { status: 'down', decides: 'nobody' } },
  });
  expect((await service.fetch('/health/live')).status).toBe(200);
  const tenant = await service.tenant();
  expect((await tenant.put('k', 1)).status).toBe(503);
});

it('a policy that evicts ledgers is degraded', async () => {
  const redis = await own(startRedis({ args: ['--maxmemory-policy', 'allkeys-lru'] }));
  const service = await withPostgres('redis', redis.url);
  const health = await ready(service);
  expect(health).toMatchObject({ http: 200, status: 'degraded' });
  expect(health.details['redis']?.message).toContain('allkeys-lru');
  await redis.client().config('SET', 'maxmemory-policy', 'noeviction');
  await waitUntil(async () => (await ready(service)).status === 'ok');
});

it('Sentinel: the service stores, and the policy of the master counts', async () => {
  const redis = await own(startSentinels());
  const hosts = redis.sentinels.map(({ host, port }) => `${host}:${port}`).join(',');
  const service = await withPostgres('redis', `redis-sentinel://${hosts}/${MASTER_NAME}`);
  expect(await ready(service)).toMatchObject({ http: 200, status: 'ok' });
  await stores(service);
  await redis.master.client().config('SET', 'maxmemory-policy', 'allkeys-random');
  expect(await ready(service)).toMatchObject({ http: 200, status: 'degraded' });
}, 60_000);

it('Cluster: the service stores, one master with a bad policy or away is degraded, all away is down', async () => {
  const nodes = await startCluster(['--cluster-require-full-coverage', 'no']);
  for (const server of nodes.servers) ends.push(() => server.stop());
  const [first, second, third] = nodes.servers as [RedisServer, RedisServer, RedisServer];
  const hosts = nodes.servers.map(({ host, port }) => `${host}:${port}`).join(',');
  await third.client().config('SET', 'maxmemory-policy', 'allkeys-lfu');
  const log = jest.spyOn(Logger.prototype, 'error').mockReturnValue();
  ends.push(async () => log.mockRestore());
  const service = await withPostgres('redis', `redis-cluster://${hosts}`);
  await waitUntil(() =>
    log.mock.calls.some(([line]) => String(line).includes('policy allkeys-lfu')),
  );
  const health = await ready(service);
  expect(health).toMatchObject({ http: 200, status: 'degraded' });
  expect(health.details['redis']?.message).toContain('allkeys-lfu');
  await third.client().config('SET', 'maxmemory-policy', 'noeviction');
  await waitUntil(async () => (await ready(service)).status === 'ok');
  for (let n = 0; n < 6; n += 1) await stores(service);
  await first.kill();
  await waitUntil(async () =>
    ((await ready(service)).details['redis']?.message ?? '').includes('2 of 3'),
  );
  expect((await ready(service)).http).toBe(200);
  await Promise.all([second.kill(), third.kill()]);
  await waitUntil(async () => (await ready(service)).http === 503);
}, 60_000);
