import { QuotaAdmin } from '@app/quota';
import { waitUntil } from '../../support';
import type { Instance } from './instance';
import { HARD, KB, World } from './world';

let world: World;
let instances: Instance[];

const start = async (count: number, options = {}): Promise<Instance[]> => {
  instances = await Promise.all(Array.from({ length: count }, () => world.newInstance(options)));
  return instances;
};

beforeAll(async () => {
  world = await World.start();
});
afterEach(() => world.closeInstances());
afterAll(() => world.stop());

const wipes: Record<string, () => Promise<void>> = {
  FLUSHALL: () => world.flushRedis(),
  'a restart without data': async () => {
    await world.redis.kill();
    await world.redis.restart();
    await waitUntil(() => instances.every((instance) => instance.redisState() === 'closed'));
  },
};

it.each(Object.keys(wipes))('%s: what is stored still counts, and is found again', async (wipe) => {
  await start(2);
  const [one, other] = instances as [Instance, Instance];
  const tenant = await world.newTenant();
  for (let n = 0; n < 9; n += 1) expect(await one.put(tenant, `k${n}`, 100 * KB)).toBe('stored');
  await wipes[wipe]!();

  // As many as would fit into an account that reads as empty.
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, (_, n) => (n % 2 ? one : other).put(tenant, `new${n}`, 50 * KB)),
  );
  expect(world.storage.peak.get(tenant)).toBeLessThanOrEqual(HARD);
  // Nobody knows that the tenant is over its limit while its usage is being found again.
  expect(outcomes.filter((outcome) => outcome === 'stored').length).toBeLessThanOrEqual(2);

  await waitUntil(async () => (await one.put(tenant, 'again', 20 * KB)) === 'stored');
  expect(one.errors.concat(other.errors).map(({ error }) => error)).toContain('usage_lost');
  await world.settled(tenant);
  const left = HARD - world.storage.held(tenant);
  const before = other.errors.length;
  const outcome = await other.put(tenant, 'too much', left + 1);
  expect([outcome, other.errors.slice(before)]).toEqual(['refused', []]);
  expect(await other.put(tenant, 'last', left)).toBe('stored');
  await world.settled(tenant);
});

it('wiped again and again under load, it never admits more than the limit', async () => {
  await start(2);
  const tenant = await world.newTenant();
  let ended = false;
  const load = instances.map(async (instance, i) => {
    for (let n = 0; !ended; n += 1) {
      await instance.put(tenant, `k${i}-${n % 40}`, (1 + (n % 50)) * KB);
      if (n % 7 === 0) await instance.remove(tenant, `k${i}-${(n * 3) % 40}`);
    }
  });
  for (let round = 0; round < 8; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 400));
    await world.flushRedis();
  }
  ended = true;
  await Promise.all(load);
  expect(world.storage.peak.get(tenant)).toBeLessThanOrEqual(HARD);
  const admin = instances[0]!.module.get(QuotaAdmin);
  const suspect = instances.some(({ suspects }) => suspects.has(tenant));
  await waitUntil(async () => (await instances[0]!.put(tenant, 'k0-0', 1)) === 'stored');
  if (suspect) await admin.reconcile(tenant);
  await world.settled(tenant);
});

it('a write on its way when the data go is admitted once more, or undone', async () => {
  await start(1);
  const [one] = instances as [Instance];
  const tenant = await world.newTenant();
  await one.put(tenant, 'old', 100 * KB);
  const verdict = await one.checker.reserve({ tenant, key: 'new', bytes: 200 * KB });
  if (!verdict.admitted) throw new Error('refused');
  await world.flushRedis();
  const version = world.storage.put(tenant, 'new', 200 * KB);
  await expect(verdict.reservation.commit(undefined, { version })).resolves.toMatchObject({
    outcome: 'committed',
  });
  await world.settled(tenant);
});

it('without a storage to ask nothing more is admitted than was never granted, until an operator says so', async () => {
  const [one] = (await start(1, { usageSource: undefined })) as [Instance];
  const tenant = await world.newTenant();
  for (let n = 0; n < 5; n += 1) await one.put(tenant, `k${n}`, 100 * KB);
  await world.flushRedis();
  expect(await one.put(tenant, 'a', 350 * KB)).toBe('stored');
  expect(await one.put(tenant, 'b', 300 * KB)).toBe('unavailable');
  await one.module.get(QuotaAdmin).reconcile(tenant);
  await waitUntil(async () => (await one.put(tenant, 'b', 300 * KB)) === 'stored');
});
