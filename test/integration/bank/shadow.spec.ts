import { waitUntil } from '../../support';
import type { Instance } from './instance';
import { cutOff, HARD, KB, World } from './world';

let world: World;
beforeAll(async () => {
  world = await World.start();
}, 60_000);
afterEach(() => world.closeInstances());
afterAll(() => world.stop(), 60_000);

/** Two instances in shadow mode, and a tenant that was never enforced. */
async function inShadow(): Promise<{ one: Instance; other: Instance; tenant: string }> {
  const options = { logOnly: true };
  const [one, other] = [await world.newInstance(options), await world.newInstance(options)];
  const tenant = await world.newTenant();
  for (const key of ['k', 'l']) expect(await one.put(tenant, key, HARD)).toBe('stored');
  await waitUntil(async () => (await world.account(tenant)).granted > 0);
  return { one, other, tenant };
}

describe('a tenant that was in shadow mode from its first write', () => {
  it('is counted right though something of it was deleted by an instance without Redis', async () => {
    const { other, tenant } = await inShadow();
    await cutOff(other);
    await other.remove(tenant, 'k');
    other.redisLink.up();
    await world.settled(tenant);
    expect(world.storage.held(tenant)).toBe(HARD);
  });

  it('is found again when Redis has lost its data', async () => {
    const { one, other, tenant } = await inShadow();
    await world.flushRedis();
    expect(await other.put(tenant, 'm', KB)).toBe('stored');
    await world.settled(tenant);
    expect(world.storage.held(tenant)).toBe(2 * HARD + KB);
    const errors = [one, other].flatMap((instance) => instance.errors.map(({ error }) => error));
    expect(errors).toContain('usage_lost');
  });
});
