import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, type Redis } from 'ioredis';
import {
  quotaRedisOptions,
  RedisKeys,
  RedisQuotaCache,
  RedisUsageTracker,
} from '../../../libs/quota/src/adapters/redis';
import type { TenantPage } from '../../../libs/quota/src/core';
import { Scene, untilDue } from '../../contract/usage-tracker/scene';
import { waitUntil, type RedisServer } from '../../support';
import { expectExact } from './auditor';
import { startCluster } from './cluster-servers';
import { SlotMoves } from './slot-moves';

describe('a Redis Cluster of three nodes', () => {
  let servers: RedisServer[] = [];
  let admins: Redis[] = [];
  let cluster: Cluster;
  let moves: SlotMoves;
  const keys = new RedisKeys();

  beforeAll(async () => {
    const nodes = await startCluster();
    ({ servers, admins } = nodes);
    moves = new SlotMoves(nodes);
    cluster = new Cluster(
      servers.map(({ host, port }) => ({ host, port })),
      { redisOptions: quotaRedisOptions, enableOfflineQueue: false, retryDelayOnTryAgain: 10 },
    );
    cluster.on('error', () => undefined);
    await new Promise((resolve) => cluster.once('ready', resolve));
  }, 40_000);

  afterAll(async () => {
    cluster.disconnect();
    await Promise.all(servers.map((server) => server.stop()));
  });

  const scene = (deadlineMs = 5_000): Scene =>
    new Scene(new RedisUsageTracker(cluster, { deadlineMs }), `t-${randomUUID()}`, {
      quotaBytes: 1e9,
      hardBytes: 1e9,
    });

  it('waits for listeners at all of its nodes to apply a change of the rollout', async () => {
    const ears = servers.map((server) => server.client());
    await Promise.all(ears.map((ear) => ear.subscribe(keys.channel)));
    const told = ears.map((ear) => new Promise((resolve) => ear.once('message', resolve)));
    const cache = new RedisQuotaCache(cluster, { deadlineMs: 5_000 });
    const key = keys.heard(7);
    const begin = performance.now();
    const answered = cache.announceRollout('word', 7).then(() => performance.now() - begin);
    await Promise.all(told);
    await cluster.pipeline().incr(key).incr(key).exec();
    // The last one takes its time, less than the half second that is waited at most.
    await sleep(200);
    const last = performance.now() - begin;
    await cluster.incr(key);
    expect(await answered).toBeGreaterThan(last);
    expect(await answered).toBeLessThan(480);
    await Promise.all(ears.map((ear) => ear.unsubscribe()));
  });

  it('lists the tenants of all its nodes, and those with something due', async () => {
    const scenes = Array.from({ length: 30 }, () => scene());
    for (const [i, s] of scenes.entries()) await s.put('a', 1, i % 2 === 0 ? { ttlMs: 20 } : {});
    await untilDue(20);
    const all = async (list: 'tenants' | 'due'): Promise<string[]> => {
      const found: string[] = [];
      let cursor: string | null = null;
      do {
        const page: TenantPage = await scenes[0]!.tracker[list](cursor, 1_000);
        found.push(...page.tenants);
        cursor = page.next;
      } while (cursor !== null);
      const own = new Set(scenes.map(({ tenant }) => tenant));
      return found.filter((tenant) => own.has(tenant)).toSorted();
    };
    expect(await all('tenants')).toEqual(scenes.map(({ tenant }) => tenant).toSorted());
    const due = scenes.filter((_, i) => i % 2 === 0).map(({ tenant }) => tenant);
    expect(await all('due')).toEqual(due.toSorted());
  });

  it('keeps each tenant on one node, and all operations work', async () => {
    const homes = new Set<number>();
    for (let i = 0; i < 12; i++) {
      const s = scene();
      const value = { body: Buffer.from([0, 255, i]), meta: 'm' };
      await s.put('k', 3, { value, ttlMs: 60_000 });
      expect(await s.value('k')).toMatchObject(value);
      await s.put(undefined, 7);
      await s.refund(2);
      await s.tracker.recount(s.tenant);
      await s.remove('k');
      expect(await s.used()).toEqual([5, 0]);
      const owner = await ownerOf(s.tenant);
      homes.add(owner);
      await expectExact(admins[owner]!, s.tenant);
      await s.tracker.drop(s.tenant);
    }
    expect(homes.size).toBeGreaterThan(1);
  });

  it('keeps all keys of a tenant in one slot, whatever its name', async () => {
    for (const tenant of ['a', 'A.b_c-9', '{}', 'x}y', '{a}{b}', 'é', '__proto__', '%7B']) {
      const all = [...keys.ledger(tenant), keys.config(tenant)];
      const slots = await Promise.all(all.map((key) => admins[0]!.cluster('KEYSLOT', key)));
      expect(new Set(slots).size).toBe(1);
      expect(new Set(all).size).toBe(9);
    }
    expect(keys.state('{}')).not.toBe(keys.state('%7B%7D'));
  });

  it('moves the slot of a tenant under load, and nobody notices', async () => {
    const s = scene();
    await s.put('k0', 10, { ttlMs: 60_000, value: { body: Buffer.alloc(10), meta: '' } });
    let moving = true;
    let writes = 0;
    const load = async (worker: number): Promise<void> => {
      for (let i = 0; moving; i++, writes++) {
        const key = `k${(i + worker * 7) % 40}`;
        if (i % 5 === 0) await s.remove(key);
        else if (i % 5 === 1) await s.release(await s.hold(key, 50));
        else await s.put(key, i % 90, { ttlMs: 60_000 });
      }
    };
    const workers = [0, 1, 2, 3].map(load);
    for (let round = 0; round < 6; round++) {
      const from = await ownerOf(s.tenant);
      await moves.move(keys.state(s.tenant), from, (from + 1) % 3);
      const before = writes;
      await waitUntil(() => writes > before + 20);
    }
    moving = false;
    await Promise.all(workers);
    expect((await s.used())[1]).toBe(0);
    await expectExact(admins[await ownerOf(s.tenant)]!, s.tenant);
  }, 60_000);

  it('a slot that does not arrive in time is not applied, and costs the deadline', async () => {
    const s = scene(150);
    await s.put('k', 10);
    const from = await ownerOf(s.tenant);
    const to = (from + 1) % 3;
    await moves.begin(keys.state(s.tenant), from, to);
    const started = performance.now();
    await expect(s.reserve('k', 20)).rejects.toMatchObject({ code: 'quota_unavailable' });
    expect(performance.now() - started).toBeLessThan(1_000);
    await moves.finish(keys.state(s.tenant), from, to);
    await waitUntil(async () => (await s.used())[0] === 10);
  });

  it('tells of changes through whichever node', async () => {
    const cache = new RedisQuotaCache(cluster, { deadlineMs: 2_000 });
    const heard: string[] = [];
    const end = await cache.subscribe((tenant) => heard.push(tenant));
    const tenants = Array.from({ length: 6 }, () => `t-${randomUUID()}`);
    for (const tenant of tenants) {
      const quota = { tenant, quotaBytes: 1, overageAllowed: false, overageBytes: 0, stamp: 1 };
      await cache.announce({ ...quota, mode: null, origin: 'tenant' }, 60_000);
      expect(await cache.get(tenant)).toMatchObject(quota);
    }
    await waitUntil(() => tenants.every((tenant) => heard.includes(tenant)));
    for (const admin of admins) await admin.client('KILL', 'TYPE', 'pubsub');
    await waitUntil(() => heard.includes('*'));
    await end();
  });

  function ownerOf(tenant: string): Promise<number> {
    return moves.ownerOf(keys.state(tenant));
  }
});
