import { waitUntil } from '../../support';
import { QuotaAdmin, StoreBreakers } from '@app/quota';
import { figures } from './figures';
import type { Instance } from './instance';
import { cutOff, HARD, KB, World } from './world';

let world: World;

beforeAll(async () => {
  world = await World.start();
});
afterEach(() => world.closeInstances());
afterAll(() => world.stop());

async function withoutDatabase(instance: Instance): Promise<void> {
  instance.databaseLink.down();
  const breakers = instance.module.get(StoreBreakers);
  // Nothing may have asked it meanwhile.
  await waitUntil(async () => {
    await instance.module
      .get(QuotaAdmin)
      .get('nobody')
      .catch(() => undefined);
    return breakers.states().postgres !== 'closed';
  });
}

it('without PostgreSQL Redis admits what it was granted, and refuses nobody for the rest', async () => {
  const one = await world.newInstance();
  const tenant = await world.newTenant();
  expect(await one.put(tenant, 'a', 10 * KB)).toBe('stored');
  const { granted } = await world.account(tenant);
  await withoutDatabase(one);
  expect(await one.put(tenant, 'b', granted - 10 * KB)).toBe('stored');
  expect(await one.put(tenant, 'c', 1)).toBe('unavailable');
  await one.remove(tenant, 'b');
  expect(await one.put(tenant, 'd', 1)).toBe('stored');
  // The journal may have room for it, for all that is known; nothing has for more than the limit.
  expect(await one.put(tenant, 'e', HARD)).toBe('unavailable');
  expect(await one.put(tenant, 'e', HARD + 1)).toBe('refused');
  one.databaseLink.up();
  await waitUntil(async () => (await one.put(tenant, 'c', 500 * KB)) === 'stored');
  await world.settled(tenant);
});

it('without either a write is a 503 by default, a deletion is not lost', async () => {
  const one = await world.newInstance();
  const tenant = await world.newTenant();
  await one.put(tenant, 'a', 10 * KB);
  await one.put(tenant, 'b', 20 * KB);
  await Promise.all([cutOff(one), withoutDatabase(one)]);
  expect(await one.put(tenant, 'c', 1)).toBe('unavailable');
  await one.remove(tenant, 'a');
  expect(one.degraded.map(({ policy }) => policy)).toEqual(['deny']);
  one.redisLink.up();
  one.databaseLink.up();
  await world.settled(tenant);
  expect((await one.tracker.read(tenant)).committedBytes).toBe(20 * KB);
});

it('without either a budget is allowed by setting, to the byte, and counts as soon as it can', async () => {
  const options = { onOutage: 'allow', outageBudgetMb: 1 } as const;
  const [one, other] = [await world.newInstance(options), await world.newInstance(options)];
  const tenants = [await world.newTenant(), await world.newTenant()] as const;
  const [tenant, neighbour] = tenants;
  for (const name of tenants) {
    expect(await one.put(name, 'a', HARD - KB)).toBe('stored');
    expect(await other.put(name, 'b', KB)).toBe('stored');
  }
  for (const instance of [one, other]) {
    await Promise.all([cutOff(instance), withoutDatabase(instance)]);
  }
  expect(await one.put(tenant, 'c', 600 * KB)).toBe('stored');
  expect(await one.put(neighbour, 'c', 424 * KB)).toBe('stored');
  expect(await one.put(neighbour, 'd', 1)).toBe('unavailable');
  expect(await other.put(tenant, 'd', 1_024 * KB)).toBe('stored');
  expect(await other.put(tenant, 'e', 1)).toBe('unavailable');
  // Beyond their limits by the budgets of both, and not by a byte more.
  const held = tenants.reduce((sum, name) => sum + world.storage.held(name), 0);
  const overBytes = held - tenants.length * HARD;
  figures('outage budget', { instances: 2, budgetMb: 1, overBytes });
  expect(overBytes).toBe(2 * 1_024 * KB);
  for (const { redisLink, databaseLink } of [one, other]) {
    redisLink.up();
    databaseLink.up();
  }
  for (const name of tenants) await world.settled(name);
  for (const instance of [one, other]) {
    for (const name of tenants) expect(await instance.put(name, 'f', 1)).toBe('refused');
  }
  const { policy, bytes } = one.degraded[0]!;
  expect({ policy, bytes }).toEqual({ policy: 'allow', bytes: 600 * KB });
  expect(one.degraded.map((event) => event.policy)).toContain('deny');
});

it('the budget is for nobody while one of the two is there and has no room, or cannot say', async () => {
  const one = await world.newInstance({ onOutage: 'allow', outageBudgetMb: 1 });
  const [full, granted] = [await world.newTenant(), await world.newTenant()];
  expect(await one.put(full, 'a', HARD - 1)).toBe('stored');
  expect(await one.put(granted, 'a', KB)).toBe('stored');
  await cutOff(one);
  expect(await one.put(full, 'b', 2)).toBe('unavailable');
  one.redisLink.up();
  await waitUntil(() => one.redisState() === 'closed');
  await withoutDatabase(one);
  expect(await one.put(granted, 'b', HARD - KB)).toBe('unavailable');
  expect(await one.put(granted, 'c', KB)).toBe('stored');
  expect(new Set(one.degraded.map(({ policy }) => policy))).toEqual(new Set(['deny']));
});

it('a tenant deleted while one instance has no Redis begins anew, and nothing of the old life counts', async () => {
  const [one, lost] = [await world.newInstance(), await world.newInstance()];
  const tenant = await world.newTenant();
  await one.put(tenant, 'a', 500 * KB);
  const pending = await one.checker.reserve({ tenant, key: 'late', bytes: 10 * KB });
  if (!pending.admitted) throw new Error('refused');
  await cutOff(lost);
  for (const key of ['a', 'late']) world.storage.delete(tenant, key);
  await lost.module.get(QuotaAdmin).delete(tenant, { actor: 'test' });
  lost.redisLink.up();
  await waitUntil(async () => (await world.account(tenant)).granted === 0);
  await expect(pending.reservation.commit()).resolves.toMatchObject({ outcome: 'bounced' });
  await world.settled(tenant);
  expect(await one.put(tenant, 'b', 100 * KB)).toBe('stored');
  await world.settled(tenant);
});

it('a quota changed while an instance has no Redis holds there for the next request', async () => {
  const [one, lost] = [await world.newInstance(), await world.newInstance()];
  const tenant = await world.newTenant();
  await lost.put(tenant, 'a', 10 * KB);
  await cutOff(lost);
  const admin = one.module.get(QuotaAdmin);
  await admin.set(tenant, { quotaMb: 3, overageAllowed: false }, { actor: 'test' });
  expect(await lost.put(tenant, 'b', 2 * HARD)).toBe('stored');
  await admin.set(tenant, { quotaMb: 1, overageAllowed: false }, { actor: 'test' });
  expect(await lost.put(tenant, 'c', 1)).toBe('unavailable');
  lost.redisLink.up();
  await world.settled(tenant);
  expect(await lost.put(tenant, 'c', 1)).toBe('refused');
});

it('in shadow mode everything is counted as well, whoever decides', async () => {
  const one = await world.newInstance({ logOnly: true });
  const tenant = await world.newTenant();
  expect(await one.put(tenant, 'a', 800 * KB)).toBe('stored');
  const verdict = await one.checker.reserve({ tenant, key: 'b', bytes: 400 * KB });
  if (!verdict.admitted) throw new Error('refused');
  await cutOff(one);
  await verdict.reservation.commit(undefined, {
    version: world.storage.put(tenant, 'b', 400 * KB),
  });
  expect(await one.put(tenant, 'c', 800 * KB)).toBe('stored');
  one.redisLink.up();
  await world.settled(tenant);
});
