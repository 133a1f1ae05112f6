import { startRedis, waitUntil, type RedisServer } from '../../support';
import type { Instance, PutOutcome } from './instance';
import { HARD, KB, World } from './world';

let redis: RedisServer;
let world: World;
let instances: Instance[];

beforeAll(async () => {
  redis = await startRedis({ args: ['--maxmemory-policy', 'allkeys-lru'] });
  world = await World.start({ redis });
  instances = [await world.newInstance(), await world.newInstance()];
});
afterAll(() => world.stop());

/** Fills Redis with other things until nothing of the tenants is left, then makes room again. */
async function evict(tenants: readonly string[]): Promise<void> {
  const client = redis.client();
  const used = Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1]);
  await client.config('SET', 'maxmemory', used + 2 * KB * KB);
  const left = async (): Promise<number> =>
    client.exists(...tenants.map((tenant) => `quota:{${tenant}}:s`));
  for (let n = 0; (await left()) > 0; n += 1) {
    await client.set(`filler:${n}`, Buffer.alloc(16 * KB));
  }
  await client.config('SET', 'maxmemory', 0);
  const filler = await client.keys('filler:*');
  await client.del(...filler);
  client.disconnect();
}

it('evicted ledgers read as unknown, are found again, and nothing is admitted beyond the limit', async () => {
  const [one, other] = instances as [Instance, Instance];
  const tenants: string[] = [];
  for (let t = 0; t < 5; t += 1) {
    const tenant = await world.newTenant();
    tenants.push(tenant);
    for (let n = 0; n < 9; n += 1) expect(await one.put(tenant, `k${n}`, 100 * KB)).toBe('stored');
  }
  await evict(tenants);
  // As many as would fit into an account that reads as empty.
  const outcomes = await Promise.all(
    tenants.flatMap((tenant) =>
      Array.from({ length: 12 }, (_, n) => (n % 2 ? one : other).put(tenant, `new${n}`, 50 * KB)),
    ),
  );
  expect(outcomes).toContain('unavailable');
  for (const tenant of tenants) {
    expect(world.storage.peak.get(tenant)).toBeLessThanOrEqual(HARD);
    await waitUntil(async () => (await one.put(tenant, 'again', 10 * KB)) === 'stored');
    await world.settled(tenant);
    const left = HARD - world.storage.held(tenant);
    // What was evicted late is found out late, and rebuilt once more.
    let outcome: PutOutcome | undefined;
    await waitUntil(async () => {
      outcome = await other.put(tenant, 'too much', left + 1);
      return outcome !== 'unavailable';
    });
    expect(outcome).toBe('refused');
  }
  const lost = instances.flatMap(({ errors }) =>
    errors.filter(({ error }) => error === 'usage_lost').map(({ tenant }) => tenant),
  );
  expect(new Set(lost)).toEqual(new Set(tenants));
});
