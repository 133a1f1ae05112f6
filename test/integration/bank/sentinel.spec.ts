import { createRedisClient } from '../../../src/redis/redis-client';
import { waitUntil } from '../../support';
import { MASTER_NAME, startSentinels, type SentinelServers } from '../redis/sentinel-servers';
import type { Instance, PutOutcome } from './instance';
import { HARD, KB, World } from './world';

let redis: SentinelServers;
let world: World;
let instances: Instance[];

beforeAll(async () => {
  redis = await startSentinels();
  const hosts = redis.sentinels.map(({ host, port }) => `${host}:${port}`).join(',');
  const connect = (): ReturnType<typeof createRedisClient> => {
    const client = createRedisClient(`redis-sentinel://${hosts}/${MASTER_NAME}`);
    client.on('error', () => undefined);
    void client.connect().catch(() => undefined);
    return client;
  };
  world = await World.start({ redis: redis.master, connect });
  instances = [await world.newInstance(), await world.newInstance()];
}, 60_000);
afterAll(async () => {
  await world.stop();
  await redis.stop();
});

it('the master killed under load: writes go on, nobody is refused by it, and all is exact on the new one', async () => {
  const [tenant, full] = [await world.newTenant(), await world.newTenant()];
  expect(await instances[0]!.put(full, 'all', HARD)).toBe('stored');
  const outcomes: PutOutcome[] = [];
  let ended = false;
  const load = instances.map(async (instance, i) => {
    // At most 40 keys of 10 KB each: never near the limit.
    for (let n = 0; !ended; n += 1) {
      outcomes.push(await instance.put(tenant, `k${i}-${n % 20}`, (1 + (n % 10)) * KB));
      if (n % 7 === 0) await instance.remove(tenant, `k${i}-${(n * 3) % 20}`);
    }
  });
  const began = performance.now();
  const since = (): number => Math.round(performance.now() - began);
  await waitUntil(() => outcomes.length > 50);
  const wentAt = since();
  await redis.master.kill();
  await waitUntil(() => instances.every((instance) => instance.redisState() !== 'closed'));
  const before = outcomes.length;
  await waitUntil(async () => (await redis.masterPort()) === redis.replica.port, {
    timeoutMs: 20_000,
  });
  const promotedAfterMs = since() - wentAt;
  const whileAway = outcomes.slice(before);
  await waitUntil(() => instances.every((instance) => instance.redisState() === 'closed'));
  const backAfterMs = since() - wentAt;
  const then = outcomes.length;
  await waitUntil(() => outcomes.length > then + 50);
  ended = true;
  await Promise.all(load);
  await waitUntil(() =>
    instances.every(({ errors }) => errors.some(({ error }) => error === 'server_changed')),
  );
  await world.settled(tenant);
  await world.settled(full);
  const count = (what: PutOutcome): number => outcomes.filter((one) => one === what).length;
  if (process.env['QUOTA_FIGURES'] !== undefined) {
    const figures = { promotedAfterMs, backAfterMs, stored: count('stored') };
    const bad = { unavailable: count('unavailable'), undone: count('undone') };
    process.stderr.write(`${JSON.stringify({ ...figures, ...bad, away: whileAway.length })}\n`);
  }
  expect(count('refused')).toBe(0);
  expect(whileAway).toContain('stored');
  expect(backAfterMs - promotedAfterMs).toBeLessThan(3_000);
  expect(world.storage.peak.get(full)).toBe(HARD);
  expect(await instances[0]!.put(full, 'more', 1)).toBe('refused');
  expect((await instances[0]!.tracker.read(tenant)).committedBytes).toBe(
    world.storage.held(tenant),
  );
}, 60_000);
