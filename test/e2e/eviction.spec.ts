import { answer, MB, Service, type Answer, type Tenant } from './support/service';
import { Servers } from './support/stacks';

jest.setTimeout(60_000);

let servers: Servers;

beforeAll(async () => {
  servers = await Servers.start();
});

afterAll(() => servers.stop());

describe.each(['embedded', 'redis', 'postgres'] as const)('evicting, %s', (stores) => {
  let service: Service;

  beforeAll(async () => {
    service = await Service.start(await servers.settings({ adapter: 'express', stores }));
  });

  afterAll(() => service.stop());

  async function evict(tenant: Tenant, body: unknown): Promise<Answer> {
    return answer(await service.admin('POST', `/${tenant.id}/evict`, body));
  }

  async function expectExact(tenant: Tenant, keys: readonly string[]): Promise<number> {
    let stored = 0;
    for (const key of keys) {
      const response = await tenant.get(key);
      const { byteLength } = await response.arrayBuffer();
      if (response.status === 200) stored += byteLength;
    }
    expect(await tenant.standing()).toMatchObject({ committedBytes: stored, reservedBytes: 0 });
    const reconciled = await answer(await service.admin('POST', `/${tenant.id}/reconcile`));
    expect(reconciled.json).toMatchObject({ driftBytes: 0, corrected: 0 });
    return stored;
  }

  it('removes those that go first until the target, and no more', async () => {
    const tenant = await service.tenant({ quotaMb: 10 });
    const keys = Array.from({ length: 10 }, (_, i) => `k${i}`);
    for (const [i, key] of keys.entries()) await tenant.put(key, MB / 2, { ttl: 1_000 * (i + 1) });
    // Written last from here on, and never to expire.
    await tenant.put('k0', MB / 2);
    const { status, json } = await evict(tenant, { targetMb: 2 });
    const reached = { evicted: 6, freedBytes: 3 * MB, usedBytes: 2 * MB, done: true };
    expect([status, json]).toEqual([200, reached]);
    const left = await Promise.all(keys.map(async (key) => (await tenant.get(key)).status === 200));
    expect(keys.filter((_, i) => left[i])).toEqual(['k0', 'k7', 'k8', 'k9']);
    expect(await expectExact(tenant, keys)).toBe(2 * MB);
    const there = await evict(tenant, { targetPercent: 20 });
    expect(there.json).toEqual({ ...reached, evicted: 0, freedBytes: 0 });
    const half = await evict(tenant, { targetPercent: 19.99 });
    expect(half.json).toMatchObject({ evicted: 1, usedBytes: 1.5 * MB, done: true });
    const all = await evict(tenant, { all: true });
    expect(all.json).toEqual({ evicted: 3, freedBytes: 1.5 * MB, usedBytes: 0, done: true });
    expect(await expectExact(tenant, keys)).toBe(0);
  });

  it('counts exactly while writes and deletes go on', async () => {
    const tenant = await service.tenant({ quotaMb: 100 });
    const keys = Array.from({ length: 30 }, (_, i) => `k${i}`);
    await Promise.all(keys.map((key) => tenant.put(key, 10_000)));
    let writing = true;
    const writers = [0, 1, 2].map(async (lane) => {
      for (let i = lane; writing; i += 7) {
        const key = keys[i % keys.length] ?? '';
        if (i % 5 === 0) await tenant.delete(key);
        else await tenant.putUntilDecided(key, 1_000 + (i % 13) * 1_000);
      }
    });
    let evicted = 0;
    for (let round = 0; round < 6; round += 1) {
      const { status, json } = await evict(tenant, round % 2 ? { all: true } : { targetMb: 0 });
      // A busy machine may take longer than a store is waited for; what is removed stays so.
      if (status === 200) evicted += Number(json['evicted']);
      else expect(status).toBe(503);
    }
    writing = false;
    await Promise.all(writers);
    expect(evicted).toBeGreaterThan(0);
    await expectExact(tenant, keys);
  });

  it.each([
    {},
    { all: false },
    { all: true, targetMb: 1 },
    { targetMb: -1 },
    { targetPercent: 101 },
  ])('refuses %j', async (body) => {
    const tenant = await service.tenant({ quotaMb: 1 });
    await tenant.put('a', 5);
    const { status, json } = await evict(tenant, body);
    expect([status, json['error']]).toEqual([400, 'invalid_request']);
    expect(await tenant.used()).toBe(5);
  });
});

it('stops at 1,000 entries, and says that there are more', async () => {
  const service = await Service.start();
  const tenant = await service.tenant({ quotaMb: 1 });
  for (let at = 0; at < 1_005; at += 15) {
    await Promise.all(Array.from({ length: 15 }, (_, i) => tenant.put(`k${at + i}`, 1)));
  }
  const evict = async (): Promise<unknown> =>
    (await answer(await service.admin('POST', `/${tenant.id}/evict`, { all: true }))).json;
  expect(await evict()).toEqual({ evicted: 1_000, freedBytes: 1_000, usedBytes: 5, done: false });
  expect(await evict()).toEqual({ evicted: 5, freedBytes: 5, usedBytes: 0, done: true });
  await service.stop();
});
