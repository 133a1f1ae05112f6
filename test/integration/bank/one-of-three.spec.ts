import { randomUUID } from 'node:crypto';
import { BYTES_PER_MB, QuotaAdmin } from '@app/quota';
import { DataSource } from 'typeorm';
import { createDataSource } from '../../../src/database/data-source';
import {
  startPostgres,
  startRedis,
  waitUntil,
  type PostgresServer,
  type RedisServer,
} from '../../support';
import { startInstance, type Instance, type PutOutcome } from './instance';
import { Storage } from './storage';

const KB = 1_024;
const HARD = BYTES_PER_MB;

let redis: RedisServer;
let postgres: PostgresServer;
let url: string;
let probe: DataSource;
let storage: Storage;
let instances: Instance[];

beforeAll(async () => {
  redis = await startRedis();
  postgres = await startPostgres();
  url = await postgres.createDatabase();
  probe = await createDataSource({ databaseUrl: url, dataDir: 'unused' });
});
beforeEach(async () => {
  storage = new Storage();
  const stores = { redisPort: redis.port, databaseUrl: url, storage };
  instances = await Promise.all([1, 2, 3].map(() => startInstance(stores)));
});
afterEach(async () => {
  await Promise.all(instances.map((instance) => instance.close()));
});
afterAll(async () => {
  await probe.destroy();
  await redis.stop();
  await postgres.stop();
});

/** A tenant of 1 MB without overage. */
async function newTenant(): Promise<string> {
  const tenant = `t-${randomUUID()}`;
  const admin = instances[0]!.module.get(QuotaAdmin);
  await admin.set(tenant, { quotaMb: 1, overageAllowed: false }, { actor: 'test' });
  return tenant;
}

async function cutOff(instance: Instance): Promise<void> {
  instance.redisLink.down();
  await waitUntil(() => instance.redisState() !== 'closed');
}

/** The account is what is stored, on whatever instance one looks. */
async function expectExact(tenant: string): Promise<void> {
  await waitUntil(
    async () => {
      const seen = await Promise.all(instances.map(({ tracker }) => tracker.read(tenant)));
      const [row] = await probe.query<{ drawn: string }[]>(
        'SELECT committed + reserved + folding_bytes AS drawn FROM quota_ledger WHERE tenant_id = $1',
        [tenant],
      );
      return (
        Number(row?.drawn ?? 0) === 0 &&
        seen.every(
          (usage) => usage.committedBytes === storage.held(tenant) && usage.reservedBytes === 0,
        )
      );
    },
    { timeoutMs: 15_000 },
  );
}

it('one of three loses Redis: writes go on, not a byte beyond the limit, no false refusal', async () => {
  const tenant = await newTenant();
  expect(await instances[0]!.put(tenant, 'first', 100 * KB)).toBe('stored');
  await cutOff(instances[2]!);

  const outcomes: PutOutcome[][] = [[], [], []];
  await Promise.all(
    instances.map(async (instance, i) => {
      for (let n = 0; n < 60; n += 1)
        outcomes[i]!.push(await instance.put(tenant, `k${i}-${n}`, 10 * KB));
    }),
  );
  expect(storage.peak.get(tenant)).toBeLessThanOrEqual(HARD);
  expect(outcomes[2]).toContain('stored');
  // What is refused is refused by those who know all; the other one can't say so.
  expect(outcomes[2]!.filter((outcome) => outcome === 'refused')).toEqual([]);
  expect(instances[2]!.degraded.map(({ policy }) => policy)).toContain('bank');

  instances[2]!.redisLink.up();
  await expectExact(tenant);
  // The last byte is there to be had.
  const left = HARD - storage.held(tenant);
  expect(await instances[0]!.put(tenant, 'last', left)).toBe('stored');
  expect(await instances[1]!.put(tenant, 'one more', 1)).toBe('refused');
  await expectExact(tenant);
});

it('what was overwritten, deleted and expired meanwhile is in the account when all is well again', async () => {
  const tenant = await newTenant();
  const [one, , lost] = instances as [Instance, Instance, Instance];
  for (let n = 0; n < 10; n += 1) await one.put(tenant, `k${n}`, 20 * KB);
  await cutOff(lost);
  expect(await lost.put(tenant, 'k0', 30 * KB)).toBe('stored');
  expect(await lost.put(tenant, 'k1', 1 * KB)).toBe('stored');
  await lost.remove(tenant, 'k2');
  await lost.remove(tenant, 'k1');
  expect(await lost.put(tenant, 'new', 5 * KB, 1)).toBe('stored');
  await one.remove(tenant, 'k3');
  expect(await one.put(tenant, 'k4', 2 * KB)).toBe('stored');
  lost.redisLink.up();
  await waitUntil(() => storage.held(tenant) === (30 + 2 + 20 * 5) * KB, { timeoutMs: 5_000 });
  await expectExact(tenant);
});

it('a reservation of Redis is committed without it, and one of the bank with it', async () => {
  const tenant = await newTenant();
  const lost = instances[2]!;
  const inRedis = await lost.checker.reserve({ tenant, key: 'a', bytes: 10 * KB });
  const given = await lost.checker.reserve({ tenant, key: 'x', bytes: 10 * KB });
  await cutOff(lost);
  const inBank = await lost.checker.reserve({ tenant, key: 'b', bytes: 20 * KB });
  if (!inRedis.admitted || !inBank.admitted || !given.admitted) throw new Error('refused');
  await inRedis.reservation.commit(undefined, { version: storage.put(tenant, 'a', 10 * KB) });
  await given.reservation.release();
  lost.redisLink.up();
  await waitUntil(() => lost.redisState() === 'closed');
  await inBank.reservation.commit(undefined, { version: storage.put(tenant, 'b', 20 * KB) });
  await expectExact(tenant);
  expect((await instances[0]!.tracker.read(tenant)).committedBytes).toBe(30 * KB);
});
