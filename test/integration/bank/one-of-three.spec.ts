import { waitUntil } from '../../support';
import type { Instance, PutOutcome } from './instance';
import { cutOff, HARD, KB, World } from './world';

let world: World;
let instances: Instance[];

beforeAll(async () => {
  world = await World.start();
  instances = await Promise.all([1, 2, 3].map(() => world.newInstance()));
});
afterAll(() => world.stop());

it('one of three loses Redis: writes go on, not a byte beyond the limit, no false refusal', async () => {
  const tenant = await world.newTenant();
  expect(await instances[0]!.put(tenant, 'first', 100 * KB)).toBe('stored');
  await cutOff(instances[2]!);

  const outcomes: PutOutcome[][] = [[], [], []];
  await Promise.all(
    instances.map(async (instance, i) => {
      for (let n = 0; n < 60; n += 1)
        outcomes[i]!.push(await instance.put(tenant, `k${i}-${n}`, 10 * KB));
    }),
  );
  expect(world.storage.peak.get(tenant)).toBeLessThanOrEqual(HARD);
  expect(outcomes[2]).toContain('stored');
  // What is refused is refused by those who know all; the other one can't say so.
  expect(outcomes[2]!.filter((outcome) => outcome === 'refused')).toEqual([]);
  expect(instances[2]!.degraded.map(({ policy }) => policy)).toContain('bank');

  instances[2]!.redisLink.up();
  await world.settled(tenant);
  // The last byte is there to be had.
  const left = HARD - world.storage.held(tenant);
  expect(await instances[0]!.put(tenant, 'last', left)).toBe('stored');
  expect(await instances[1]!.put(tenant, 'one more', 1)).toBe('refused');
  await world.settled(tenant);
});

it('what was overwritten, deleted and expired meanwhile is in the account when all is well again', async () => {
  const tenant = await world.newTenant();
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
  await waitUntil(() => world.storage.held(tenant) === (30 + 2 + 20 * 5) * KB, {
    timeoutMs: 5_000,
  });
  await world.settled(tenant);
});

it('a reservation of Redis is committed without it, and one of the bank with it', async () => {
  const tenant = await world.newTenant();
  const lost = instances[2]!;
  const inRedis = await lost.checker.reserve({ tenant, key: 'a', bytes: 10 * KB });
  const given = await lost.checker.reserve({ tenant, key: 'x', bytes: 10 * KB });
  await cutOff(lost);
  const inBank = await lost.checker.reserve({ tenant, key: 'b', bytes: 20 * KB });
  if (!inRedis.admitted || !inBank.admitted || !given.admitted) throw new Error('refused');
  await inRedis.reservation.commit(undefined, { version: world.storage.put(tenant, 'a', 10 * KB) });
  await given.reservation.release();
  lost.redisLink.up();
  await waitUntil(() => lost.redisState() === 'closed');
  await inBank.reservation.commit(undefined, { version: world.storage.put(tenant, 'b', 20 * KB) });
  await world.settled(tenant);
  expect((await instances[0]!.tracker.read(tenant)).committedBytes).toBe(30 * KB);
});
