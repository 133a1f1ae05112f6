import { Test, type TestingModule } from '@nestjs/testing';
import { QuotaChecker, QuotaModule, quotaRedisOptions } from '@app/quota';
import type { DataSource } from 'typeorm';
import { createDataSource } from '../../../src/database/data-source';
import {
  startLoad,
  startPostgres,
  startRedis,
  startStallMeter,
  waitUntil,
  type PostgresServer,
  type RedisServer,
} from '../../support';
import { startProxy, type Proxy } from '../redis/proxy';
import { pause } from './outage';

/** No answer comes later, whatever is away; but for the time that this process itself stood still. */
const LATEST_MS = 500;

/** Tenants come and go, so that quotas are loaded all through an outage. */
const TENANTS_A_SECOND = 200;

/** Holds whose outcome is unknown would be waited for. */
const drain = { drainSeconds: 0 };

let postgres: PostgresServer;
let redis: RedisServer;
let proxy: Proxy;
let dataSource: DataSource;
let app: TestingModule;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  const databaseUrl = await postgres.createDatabase();
  dataSource = await createDataSource({ databaseUrl, dataDir: 'unused' });
  redis = await startRedis();
  proxy = await startProxy(redis.port);
  const client = redis.client({ ...quotaRedisOptions, port: proxy.port });
  await waitUntil(() => client.status === 'ready');
  app = await Test.createTestingModule({
    imports: [
      QuotaModule.forRoot({ dataSource, redis: client, quotaCacheTtlSeconds: 1, ...drain }),
    ],
  }).compile();
  await app.init();
});
afterEach(async () => {
  await app.close();
  await proxy.close();
  await redis.stop();
  await dataSource.destroy();
});

/** What clients do, by turns. */
function request(checker: QuotaChecker, n: number): Promise<unknown> {
  const second = Math.floor(performance.now() / 1_000);
  const tenant =
    n % 3 === 0 ? `t-${String(n % 20)}` : `t-${String(second)}-${String(n % TENANTS_A_SECOND)}`;
  const write = { tenant, key: `k${String(n % 50)}`, bytes: 10 };
  switch (n % 6) {
    case 0:
      return checker.check(write);
    case 1:
      return checker.status(tenant);
    case 2:
      return checker.remove(tenant, write.key);
    default:
      return checker.run(write, () => Promise.resolve(undefined));
  }
}

const faults: Record<string, { begin: () => unknown; end: () => unknown }> = {
  'Redis killed': { begin: () => redis.kill(), end: () => redis.restart() },
  'Redis paused': { begin: () => redis.pause(), end: () => redis.resume() },
  'Redis behind a link that delays by 300 ms': {
    begin: () => proxy.delay(300),
    end: () => proxy.delay(0),
  },
  'Redis behind a link that hangs': {
    begin: () => proxy.delay(Infinity),
    end: () => proxy.delay(0),
  },
  'PostgreSQL stopped': {
    begin: () => postgres.kill('SIGQUIT'),
    end: () => postgres.restart(),
  },
  'PostgreSQL paused': { begin: () => postgres.pause(), end: () => postgres.resume() },
  'both paused': {
    begin: () => {
      postgres.pause();
      redis.pause();
    },
    end: () => {
      postgres.resume();
      redis.resume();
    },
  },
};

it.each(Object.entries(faults))('%s: no answer is late', async (name, { begin, end }) => {
  const checker = app.get(QuotaChecker);
  const stop = startLoad(40, (n) => request(checker, n));
  await pause(1_000);
  const stall = startStallMeter();
  await begin();
  await pause(3_000);
  await end();
  await pause(500);
  const stallMs = stall();
  const samples = await stop();
  const slowestMs = Math.max(...samples.map(({ tookMs }) => tookMs));
  const failed = samples.filter(({ error }) => error !== undefined).length;
  if (process.env['QUOTA_FIGURES'] !== undefined) {
    process.stderr.write(
      `${JSON.stringify({ name, slowestMs, stallMs, failed, all: samples.length })}\n`,
    );
  }
  expect(slowestMs - stallMs).toBeLessThanOrEqual(LATEST_MS);
  expect(samples.some(({ error }) => error === undefined)).toBe(true);
});
