import { QuotaAdmin } from '@app/quota';
import { cutOff, KB, World } from '../bank/world';

let world: World;
beforeAll(async () => {
  world = await World.start();
}, 60_000);
afterEach(() => world.closeInstances());
afterAll(() => world.stop(), 60_000);

describe('a tenant that is deleted while Redis is away from the instance that does it', () => {
  it('loses nothing of what others have stored before the ledger in Redis heard of it', async () => {
    const [cut, other] = [await world.newInstance(), await world.newInstance()];
    const tenant = await world.newTenant();
    expect(await other.put(tenant, 'old', 10 * KB)).toBe('stored');
    await cutOff(cut);
    await cut.module.get(QuotaAdmin).delete(tenant, { actor: 'test' });
    world.storage.delete(tenant, 'old');
    // Still within the life, and the grant, that Redis knows.
    expect(await other.put(tenant, 'new', 5 * KB)).toBe('stored');
    cut.redisLink.up();
    await world.settled(tenant);
    expect(world.storage.held(tenant)).toBe(5 * KB);
  }, 60_000);
});
