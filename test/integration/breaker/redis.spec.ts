import { randomUUID } from 'node:crypto';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  QuotaHealthIndicator,
  QuotaModule,
  QuotaObserver,
  quotaRedisOptions,
  StoreBreakers,
  UsageTracker,
  ValueTracker,
} from '@app/quota';
import type { Redis } from 'ioredis';
import { startRedis, waitUntil, type RedisServer } from '../../support';
import { measureOutage, pause } from './outage';

/** What RedisCalls waits for an answer. */
const DEADLINE_MS = 250;

/** No answer comes later, but for the time that this process itself stood still. */
const LATEST_MS = 500;

let server: RedisServer;
const modules: TestingModule[] = [];

async function instance(): Promise<{ module: TestingModule; redis: Redis }> {
  const redis = server.client(quotaRedisOptions);
  await waitUntil(() => redis.status === 'ready');
  const module = await Test.createTestingModule({
    imports: [QuotaModule.forRoot({ redis })],
  }).compile();
  modules.push(await module.init());
  return { module, redis };
}

function write(tracker: UsageTracker, n: number): Promise<unknown> {
  const limits = { quotaBytes: 1e9, hardBytes: 1e9 };
  const request = { tenant: `t-${String(n % 50)}`, key: `k${String(n)}`, bytes: 10, limits };
  return tracker.reserve({ ...request, id: randomUUID(), stamp: 0, enforce: true, holdMs: 5_000 });
}

beforeEach(async () => {
  server = await startRedis();
});
afterEach(async () => {
  for (const module of modules.splice(0)) await module.close();
  await server.stop();
});

it('keeps the tracker of values one, and shows its state in health', async () => {
  const { module } = await instance();
  expect(module.get(UsageTracker)).toBeInstanceOf(ValueTracker);
  const health = module.get(QuotaHealthIndicator);
  await expect(health.isHealthy()).resolves.toMatchObject({
    quota: { status: 'up', breakers: { redis: 'closed' } },
  });
  await server.kill();
  await waitUntil(() => health.isHealthy().then(({ quota }) => quota?.breakers.redis !== 'closed'));
  await expect(health.isHealthy()).resolves.toMatchObject({
    quota: { status: 'down', usage: 'down' },
  });
});

it.each([300, 3_000])(
  'is open within 250 ms of a kill, and closed within 1 s, after %i ms',
  async (lastsMs) => {
    const { module } = await instance();
    const tracker = module.get(UsageTracker);
    const figures = await measureOutage({
      observer: module.get(QuotaObserver),
      store: 'redis',
      call: (n) => write(tracker, n),
      begin: () => server.kill(),
      end: () => server.restart(),
      lastsMs,
    });
    expect(figures.openAfterMs).toBeLessThanOrEqual(250);
    expect(figures.closedAfterMs).toBeLessThanOrEqual(1_000);
    expect(figures.p99WhileOpenMs).toBeLessThanOrEqual(10);
    expect(figures.callsWhileOpen).toBeGreaterThan(100);
    expect(figures.slowestMs - figures.stallMs).toBeLessThanOrEqual(LATEST_MS);
  },
);

it.each([1_000, 3_000])(
  'opens when a paused server passes the deadline, and closes when it goes on, after %i ms',
  async (lastsMs) => {
    const { module } = await instance();
    const tracker = module.get(UsageTracker);
    const figures = await measureOutage({
      observer: module.get(QuotaObserver),
      store: 'redis',
      call: (n) => write(tracker, n),
      begin: () => {
        server.pause();
        return Promise.resolve();
      },
      end: () => {
        server.resume();
        return Promise.resolve();
      },
      lastsMs,
    });
    expect(figures.openAfterMs).toBeGreaterThanOrEqual(DEADLINE_MS - 50);
    expect(figures.openAfterMs).toBeLessThanOrEqual(DEADLINE_MS + 250);
    expect(figures.closedAfterMs).toBeLessThanOrEqual(1_000);
    expect(figures.p99WhileOpenMs).toBeLessThanOrEqual(10);
    expect(figures.slowestMs - figures.stallMs).toBeLessThanOrEqual(LATEST_MS);
  },
);

it('leaves releases alone when Redis is merely full', async () => {
  const { module, redis } = await instance();
  const tracker = module.get(UsageTracker);
  const held = randomUUID();
  const limits = { quotaBytes: 1e9, hardBytes: 1e9 };
  const rest = { bytes: 10, limits, stamp: 0, enforce: true, holdMs: 5_000 };
  await tracker.reserve({ tenant: 'acme', id: held, key: 'k', ...rest });
  await redis.config('SET', 'maxmemory', '1');
  for (let n = 0; n < 20; n += 1) {
    await expect(write(tracker, n)).rejects.toMatchObject({ applied: 'no', contact: 'answered' });
  }
  await expect(tracker.release('acme', held)).resolves.toMatchObject({ outcome: 'released' });
  expect(module.get(StoreBreakers).states()).toEqual({ redis: 'closed' });
});

it('leaves other tenants alone when the data of one are damaged', async () => {
  const { module, redis } = await instance();
  const tracker = module.get(UsageTracker);
  await redis.set('quota:{t-0}:s', 'not a hash');
  for (let n = 0; n < 20; n += 1) {
    await expect(write(tracker, 0)).rejects.toMatchObject({ contact: 'answered' });
  }
  await expect(write(tracker, 1)).resolves.toMatchObject({ outcome: 'reserved' });
});

it('does not bring twenty instances back in one moment', async () => {
  const probes: number[] = [];
  const breakers: StoreBreakers[] = [];
  for (let i = 0; i < 20; i += 1) {
    const { module } = await instance();
    module.get(QuotaObserver).on('store', ({ state }) => {
      if (state === 'half-open') probes.push(performance.now());
    });
    breakers.push(module.get(StoreBreakers));
  }
  await server.kill();
  for (const module of modules) await write(module.get(UsageTracker), 0).catch(() => undefined);
  await waitUntil(() => breakers.every((each) => each.states().redis !== 'closed'));
  await pause(1_500);
  probes.splice(0);
  await server.restart();
  const backAt = performance.now();
  await waitUntil(() => breakers.every((each) => each.states().redis === 'closed'));
  expect(performance.now() - backAt).toBeLessThanOrEqual(1_100);
  expect(Math.max(...probes) - Math.min(...probes)).toBeGreaterThan(100);
});
