import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { RedisQuotaCache } from '../../../libs/quota/src/adapters/redis';
import { QuotaUnavailableError, type TenantQuota } from '../../../libs/quota/src/core';
import { waitUntil } from '../../support';
import { startLedger, stopLedgers, type Ledger } from './ledger';

const TTL = 60_000;

describe('the shared quota cache', () => {
  let ledger: Ledger;
  let here: RedisQuotaCache;
  let there: RedisQuotaCache;
  const ends: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    ledger = await startLedger();
    here = new RedisQuotaCache(ledger.client);
    there = new RedisQuotaCache(ledger.probe);
  });
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
  });
  afterAll(stopLedgers);

  const quota = (stamp: number, more: Partial<TenantQuota> = {}): TenantQuota => ({
    tenant: 'acme',
    quotaBytes: 1_000 + stamp,
    overageAllowed: true,
    overageBytes: 100,
    mode: 'enforce',
    stamp,
    origin: 'tenant',
    ...more,
  });
  const fresh = (stamp: number, more: Partial<TenantQuota> = {}): TenantQuota =>
    quota(stamp, { tenant: `t-${randomUUID()}`, ...more });

  async function listen(cache: RedisQuotaCache): Promise<[string, number][]> {
    const heard: [string, number][] = [];
    ends.push(await cache.subscribe((tenant, stamp) => heard.push([tenant, stamp])));
    return heard;
  }

  it('gives back what was put, from another connection', async () => {
    for (const given of [fresh(3), fresh(0, { mode: null, origin: 'default' })]) {
      expect(await there.get(given.tenant)).toBeNull();
      await here.put(given, TTL);
      expect(await there.get(given.tenant)).toEqual(given);
    }
  });

  it('lets a copy die at the end of its life, and makes no state for the tenant', async () => {
    const given = fresh(3);
    await here.put(given, 300);
    const names = await ledger.probe.keys(`quota:{${given.tenant}}:*`);
    expect(names).toEqual([ledger.keys.config(given.tenant)]);
    await waitUntil(async () => (await there.get(given.tenant)) === null);
    expect(await ledger.probe.keys(`quota:{${given.tenant}}:*`)).toEqual([]);
  });

  it('never goes back: neither to an older copy nor below what was announced', async () => {
    const given = fresh(5);
    const { tenant } = given;
    await here.put(given, TTL);
    await there.put(quota(4, { tenant }), TTL);
    expect(await here.get(tenant)).toEqual(given);
    await here.announce(quota(8, { tenant }), TTL);
    await there.announce(quota(7, { tenant }), TTL);
    expect((await here.get(tenant))?.stamp).toBe(8);
    await ledger.probe.del(ledger.keys.config(tenant));
    await there.put(quota(7, { tenant }), TTL);
    expect(await here.get(tenant)).toBeNull();
    await there.put(quota(8, { tenant }), TTL);
    expect((await here.get(tenant))?.stamp).toBe(8);
  });

  it('after an announcement answers stale to every older reserve', async () => {
    const s = ledger.scene();
    await s.put('k', 10, { stamp: 1 });
    await there.announce(quota(2, { tenant: s.tenant }), TTL);
    expect(await s.reserve('k', 20, { stamp: 1 })).toEqual({ outcome: 'stale', stamp: 2 });
    expect(await s.putUnmetered('k', Buffer.from('x'), { stamp: 1 })).toEqual({
      outcome: 'stale',
      stamp: 2,
    });
    expect(await s.reserve('k', 20, { stamp: 2 })).toMatchObject({ outcome: 'reserved' });
    await there.announce(quota(1, { tenant: s.tenant }), TTL);
    expect(await s.reserve('k', 20, { stamp: 1 })).toEqual({ outcome: 'stale', stamp: 2 });
    expect(await s.used()).toEqual([10, 10]);
  });

  it('announces a tenant without state, which stays without usage', async () => {
    const s = ledger.scene();
    await there.announce(quota(6, { tenant: s.tenant }), TTL);
    expect(await s.reserve('k', 1, { stamp: 5 })).toEqual({ outcome: 'stale', stamp: 6 });
    await s.tracker.drop(s.tenant);
    expect(await s.used()).toEqual([0, 0]);
    expect(await s.reserve('k', 1, { stamp: 5 })).toEqual({ outcome: 'stale', stamp: 6 });
  });

  it('tells every instance of a change', async () => {
    const [first, second] = [await listen(here), await listen(there)];
    const given = fresh(9);
    await here.announce(given, TTL);
    const wanted: [string, number][] = [[given.tenant, 9]];
    await waitUntil(() => first.length > 0 && second.length > 0);
    expect([first, second]).toEqual([wanted, wanted]);
  });

  it('stops telling once the subscription has ended', async () => {
    const heard = await listen(here);
    await ends.pop()?.();
    const other = await listen(there);
    await here.announce(fresh(9), TTL);
    await waitUntil(() => other.length > 0);
    expect(heard).toEqual([]);
  });

  it('says * when its connection was lost, once it hears again', async () => {
    const heard = await listen(here);
    const before = heard.length;
    await ledger.probe.client('KILL', 'TYPE', 'pubsub');
    await waitUntil(() => heard.length > before);
    expect(heard.at(-1)).toEqual(['*', 0]);
    const given = fresh(1);
    await there.announce(given, TTL);
    await waitUntil(() => heard.at(-1)?.[0] === given.tenant);
  });

  it('takes what it cannot read on the channel for a change of anyone', async () => {
    const heard = await listen(here);
    for (const text of ['', 'rubbish', '-1 t', '1e3 t', '99999999999999999999 t', '٥ t']) {
      await ledger.probe.publish(ledger.keys.channel, text);
    }
    await waitUntil(() => heard.length === 6);
    expect(new Set(heard.map(([tenant]) => tenant))).toEqual(new Set(['*']));
  });

  it.each([
    'rubbish',
    '{}',
    '[]',
    'null',
    '"x"',
    '{"stamp":1',
    JSON.stringify(quota(1, { quotaBytes: -1 })),
    JSON.stringify(quota(1, { quotaBytes: 1.5 })),
    JSON.stringify({ ...quota(1), quotaBytes: '1000' }),
    JSON.stringify({ ...quota(1), mode: 'shout' }),
    JSON.stringify({ ...quota(1), overageAllowed: 1 }),
    JSON.stringify({ ...quota(1), stamp: null }),
    JSON.stringify(quota(1, { tenant: 'other' })),
    JSON.stringify(quota(1, { quotaBytes: Number.MAX_SAFE_INTEGER })),
  ])('takes a broken copy for none, and replaces it: %s', async (text) => {
    await ledger.probe.set(ledger.keys.config('acme'), text);
    expect(await here.get('acme')).toBeNull();
    await here.put(quota(1), TTL);
    expect(await here.get('acme')).toEqual(quota(1));
  });

  it('refuses a life or a stamp that is not one', async () => {
    for (const life of [0, -1, 1.5, Number.NaN, Infinity]) {
      await expect(here.put(fresh(1), life)).rejects.toThrow('ttlMs');
    }
    await expect(here.announce(fresh(-1), TTL)).rejects.toThrow('stamp');
  });

  it('with Redis away fails in time, and its feed comes up later', async () => {
    const other = await startLedger();
    const { server } = other;
    const cache = new RedisQuotaCache(other.client, { deadlineMs: 150 });
    await server.kill();
    await waitUntil(() => other.client.status !== 'ready');
    await expect(cache.get('acme')).rejects.toBeInstanceOf(QuotaUnavailableError);
    await expect(cache.put(quota(1), TTL)).rejects.toMatchObject({ applied: 'no' });
    const heard = await listen(cache);
    expect(heard).toEqual([]);
    await server.restart();
    await waitUntil(() => heard.some(([tenant]) => tenant === '*'));
    const loud: Redis = server.client();
    await new RedisQuotaCache(loud).announce(quota(3), TTL);
    await waitUntil(() => heard.some(([tenant, stamp]) => tenant === 'acme' && stamp === 3));
  });

  it('an announcement gets through a Redis out of memory', async () => {
    const heard = await listen(here);
    await ledger.probe.config('SET', 'maxmemory', '1', 'maxmemory-policy', 'noeviction');
    const given = fresh(4);
    await expect(here.put(given, TTL)).rejects.toMatchObject({ applied: 'no' });
    await here.announce(given, TTL);
    await ledger.probe.config('SET', 'maxmemory', '0');
    await waitUntil(() => heard.length > 0);
    expect(await there.get(given.tenant)).toEqual(given);
  });
});
