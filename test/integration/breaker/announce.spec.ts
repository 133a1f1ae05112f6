import { Test, type TestingModule } from '@nestjs/testing';
import {
  mbToBytes,
  QuotaAdmin,
  QuotaCacheService,
  QuotaChecker,
  QuotaModule,
  type QuotaStore,
  quotaRedisOptions,
  StoreBreakers,
} from '@app/quota';
import type { Redis } from 'ioredis';
import { MemoryQuotaStore } from '../../../libs/quota/src/adapters/memory/memory-quota-store';
import { RedisKeys } from '../../../libs/quota/src/adapters/redis';
import { startRedis, waitUntil, type RedisServer } from '../../support';
import { startProxy, type Proxy } from '../redis/proxy';

const keys = new RedisKeys();

let server: RedisServer;
let proxy: Proxy;
let probe: Redis;
let here: TestingModule;
let there: TestingModule;
/** The table that all instances share. */
let table: QuotaStore;

async function instance(port: number): Promise<TestingModule> {
  const redis = server.client({ ...quotaRedisOptions, port });
  await waitUntil(() => redis.status === 'ready');
  // Far longer than the test: no copy is renewed because its time is over.
  const options = { redis, store: table, quotaCacheTtlSeconds: 3_600, drainSeconds: 0 };
  return (
    await Test.createTestingModule({ imports: [QuotaModule.forRoot(options)] }).compile()
  ).init();
}

beforeEach(async () => {
  server = await startRedis();
  proxy = await startProxy(server.port);
  probe = server.client();
  table = new MemoryQuotaStore();
  here = await instance(proxy.port);
  there = await instance(server.port);
  await here.get(QuotaAdmin).set('acme', { quotaMb: 5 }, { actor: 'test' });
  expect(await limitAt(there)).toBe(mbToBytes(5));
});
afterEach(async () => {
  await Promise.all([here.close(), there.close()]);
  await proxy.close();
  await server.stop();
});

async function limitAt(module: TestingModule): Promise<number> {
  return (await module.get(QuotaCacheService).getQuota('acme')).quotaBytes;
}

const isOpen = (): boolean => here.get(StoreBreakers).states().redis !== 'closed';

async function untilOpen(): Promise<void> {
  const status = (): Promise<unknown> => here.get(QuotaChecker).status('acme');
  while (!isOpen()) await status().catch(() => undefined);
}

it('a change while this instance alone is cut off holds here at once, and there when it is back', async () => {
  proxy.delay(Infinity);
  await untilOpen();
  await here.get(QuotaAdmin).set('acme', { quotaMb: 9 }, { actor: 'test' });
  expect(await limitAt(here)).toBe(mbToBytes(9));
  // Nobody has told them: documented, until their copy's time is over or this instance is back.
  expect(await limitAt(there)).toBe(mbToBytes(5));
  proxy.delay(0);
  await waitUntil(async () => (await limitAt(there)) === mbToBytes(9));
  const verdict = await there.get(QuotaChecker).check({ tenant: 'acme', key: 'k', bytes: 1 });
  expect(verdict.numbers?.quotaBytes).toBe(mbToBytes(9));
  expect(here.get(QuotaCacheService).pendingAnnouncements).toBe(0);
});

it('changes during an outage of Redis succeed, and the last of them is in Redis after it', async () => {
  await server.kill();
  await waitUntil(isOpen);
  const admin = here.get(QuotaAdmin);
  await admin.set('acme', { quotaMb: 7 }, { actor: 'test' });
  const { row } = await admin.set('acme', { quotaMb: 8 }, { actor: 'test' });
  expect(row.quotaMb).toBe(8);
  expect(here.get(QuotaCacheService).pendingAnnouncements).toBe(1);
  await server.restart();
  await waitUntil(() => here.get(QuotaCacheService).pendingAnnouncements === 0);
  const { stamp } = await table.load('acme');
  expect(JSON.parse((await probe.get(keys.config('acme'))) ?? '{}')).toMatchObject({
    stamp,
    quotaBytes: mbToBytes(8),
  });
  // By this a write that is decided with an older copy is answered "stale".
  expect(await probe.hget(keys.state('acme'), 'cv')).toBe(String(stamp));
});
