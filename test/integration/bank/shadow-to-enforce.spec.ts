import { QuotaAdmin, type QuotaMode } from '@app/quota';
import { waitUntil } from '../../support';
import { figures } from './figures';
import type { Instance } from './instance';
import { cutOff, HARD, KB, World } from './world';

let world: World;
beforeAll(async () => {
  world = await World.start();
}, 60_000);
afterEach(() => world.closeInstances());
afterAll(() => world.stop(), 60_000);

async function setMode(instance: Instance, tenant: string, mode: QuotaMode): Promise<void> {
  const quota = { quotaMb: 1, overageAllowed: false, mode };
  await instance.module.get(QuotaAdmin).set(tenant, quota, { actor: 'test' });
}

/** Writes of 4 KB until three in a row are not stored: one alone may have been late. */
async function fill(instance: Instance, tenant: string, name: string): Promise<void> {
  for (let [n, failed] = [0, 0]; failed < 3; n += 1) {
    const outcome = await instance.put(tenant, `${name}${n}`, 4 * KB);
    failed = outcome === 'stored' ? 0 : failed + 1;
  }
}

describe.each<{ what: string; first: QuotaMode; bytes: number }>([
  { what: 'in shadow from the first write', first: 'shadow', bytes: 900 * KB },
  { what: 'enforced before', first: 'enforce', bytes: 500 * KB },
  { what: 'more than the limit counted', first: 'enforce', bytes: 1_300 * KB },
])('shadow turned to enforce, $what', ({ what, first, bytes }) => {
  let withRedis: Instance;
  let cut: Instance;
  let tenant: string;
  let beyondGrant: number;

  beforeEach(async () => {
    [withRedis, cut] = [await world.newInstance(), await world.newInstance()];
    tenant = await world.newTenant();
    await setMode(withRedis, tenant, first);
    expect(await withRedis.put(tenant, 'first', 100 * KB)).toBe('stored');
    await waitUntil(async () => (await world.account(tenant)).granted > 0);
    await setMode(withRedis, tenant, 'shadow');
    expect(await withRedis.put(tenant, 'shadow', bytes)).toBe('stored');
    const { granted } = await world.account(tenant);
    beyondGrant = world.storage.held(tenant) - granted;
    expect(beyondGrant).toBeGreaterThan(0);
    await cutOff(cut);
  });

  it('while an instance has no Redis: over by what Redis counts beyond its grant', async () => {
    await setMode(withRedis, tenant, 'enforce');
    await fill(cut, tenant, 'bank');
    const overBytes = world.storage.held(tenant) - HARD;
    figures('shadow to enforce', { what, beyondGrant, overBytes });
    expect(overBytes).toBeGreaterThan(0);
    expect(overBytes).toBeLessThanOrEqual(beyondGrant);
    // Nor does the other one admit anything beside it.
    expect(await withRedis.put(tenant, 'more', 1)).not.toBe('stored');

    cut.redisLink.up();
    await world.settled(tenant);
    for (const instance of [withRedis, cut]) {
      await waitUntil(async () => (await instance.put(tenant, 'more', 1)) === 'refused');
    }
    for (const key of ['first', 'shadow']) await withRedis.remove(tenant, key);
    await world.settled(tenant);
    const left = HARD - world.storage.held(tenant);
    await waitUntil(async () => (await withRedis.put(tenant, 'last', left)) === 'stored');
    expect(await cut.put(tenant, 'more', 1)).toBe('refused');
    await world.settled(tenant);
  });

  it('and reconciled before the other one writes: not a byte more', async () => {
    await setMode(withRedis, tenant, 'enforce');
    await withRedis.module.get(QuotaAdmin).reconcile(tenant);
    const before = world.storage.held(tenant);
    await fill(cut, tenant, 'bank');
    expect(world.storage.held(tenant)).toBeLessThanOrEqual(Math.max(before, HARD));
    cut.redisLink.up();
    await world.settled(tenant);
  });
});
