import { CacheStore } from '../../src/cache/cache-store';
import { answer, MB, Service, type Answer, type Tenant } from './support/service';
import { Servers } from './support/stacks';

jest.setTimeout(60_000);

let servers: Servers;

/** So many at a time. */
async function inParallel<T>(
  lanes: number,
  items: readonly T[],
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  const next = items[Symbol.iterator]();
  const lane = async (): Promise<void> => {
    for (const item of next) await work(item);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

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

  it('removes the oldest until the target, and no more', async () => {
    const tenant = await service.tenant({ quotaMb: 10 });
    const keys = Array.from({ length: 10 }, (_, i) => `k${i}`);
    for (const [i, key] of keys.entries()) await tenant.put(key, MB / 2, { ttl: 9_000 - 500 * i });
    // Written last from here on.
    await tenant.put('k0', MB / 2);
    const { status, json } = await evict(tenant, { targetMb: 2 });
    const ended = { done: true, resume: null };
    const reached = { evicted: 6, freedBytes: 3 * MB, usedBytes: 2 * MB, ...ended };
    expect([status, json]).toEqual([200, reached]);
    const left = await Promise.all(keys.map(async (key) => (await tenant.get(key)).status === 200));
    expect(keys.filter((_, i) => left[i])).toEqual(['k0', 'k7', 'k8', 'k9']);
    expect(await expectExact(tenant, keys)).toBe(2 * MB);
    const there = await evict(tenant, { targetPercent: 20 });
    expect(there.json).toEqual({ ...reached, evicted: 0, freedBytes: 0 });
    const half = await evict(tenant, { targetPercent: 19.99 });
    expect(half.json).toMatchObject({ evicted: 1, usedBytes: 1.5 * MB, done: true });
    const all = await evict(tenant, { all: true });
    expect(all.json).toEqual({ evicted: 3, freedBytes: 1.5 * MB, usedBytes: 0, ...ended });
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

  it('leaves what is not as it was listed, and what a write is on its way to', async () => {
    const tenant = await service.tenant({ quotaMb: 10 });
    const keys = ['larger', 'gone', 'same', 'later', 'again'];
    for (const key of keys) await tenant.put(key, 10, key === 'again' ? {} : { ttl: 900 });
    const store = service.app.get(CacheStore);
    const asked = { limit: 10, freeBytes: 1_000 };
    const { entries, here } = await store.evictable(tenant.id, { ...asked, at: '' });
    expect(entries.map(({ key }) => key).sort()).toEqual([...keys].sort());
    await tenant.put('larger', 11, { ttl: 900 });
    await tenant.put('later', 10, { ttl: 9_000 });
    await tenant.put('again', 10);
    await tenant.delete('gone');
    const { entries: still } = await store.evictable(tenant.id, { ...asked, at: here });
    // Only this storage knows what was written since.
    if (stores === 'postgres') expect(still.map(({ key }) => key)).toEqual(['same']);
    for (const entry of entries) {
      const { removed, freedBytes } = await store.evict(tenant.id, entry);
      const isSame = entry.key === 'same';
      expect([entry.key, removed, freedBytes]).toEqual([entry.key, isSame, isSame ? 10 : 0]);
    }
    expect(await expectExact(tenant, keys)).toBe(31);
  });

  it('ends though the tenant goes on writing, and takes no more than there was', async () => {
    const tenant = await service.tenant({ quotaMb: 100 });
    const keys = Array.from({ length: 60 }, (_, i) => `k${i}`);
    // Nobody rewrites them, where all the others may have been before their turn comes.
    const idle = Array.from({ length: 10 }, (_, i) => `idle${i}`);
    for (const target of [{ all: true }, { targetMb: 0 }]) {
      await inParallel(10, [...idle, ...keys], (key) => tenant.put(key, 1_000));
      let writing = true;
      const writers = [0, 1].map(async (lane) => {
        for (let i = lane; writing; i += 2) {
          await tenant.putUntilDecided(keys[i % keys.length] ?? '', 2_000 + (i % 7));
        }
      });
      let calls = 0;
      let freed = 0;
      for (let resume: unknown; resume !== null; calls += 1) {
        const { status, json } = await evict(tenant, { ...target, ...(resume && { resume }) });
        expect(status).toBe(200);
        freed += Number(json['freedBytes']);
        ({ resume } = json);
      }
      writing = false;
      await Promise.all(writers);
      expect(freed).toBeGreaterThanOrEqual(idle.length * 1_000);
      for (const key of idle) expect((await tenant.get(key)).status).toBe(404);
      if ('all' in target) continue;
      const { json } = await answer(await service.admin('GET', `/${tenant.id}/evictions?limit=1`));
      const [record] = json['items'] as { usedBeforeBytes: number; freedBytes: number }[];
      expect(record!.freedBytes).toBe(freed);
      expect(freed).toBeLessThanOrEqual(record!.usedBeforeBytes + 2_006);
    }
    await expectExact(tenant, keys);
  });

  it('has the whole of it in the audit trail', async () => {
    const tenant = await service.tenant({ quotaMb: 10 });
    for (let n = 0; n < 4; n += 1) await tenant.put(`k${n}`, MB);
    await evict(tenant, { targetPercent: 20, reason: 'ticket 4711' });
    await evict(tenant, { all: true });
    const { json } = await answer(await service.admin('GET', `/${tenant.id}/evictions?limit=1`));
    expect(json['items']).toMatchObject([
      { actor: 'admin', reason: null, target: { all: true }, evicted: 2, done: true },
    ]);
    const before = `/${tenant.id}/evictions?before=${String(json['next'])}`;
    expect((await answer(await service.admin('GET', before))).json).toMatchObject({
      items: [
        {
          ...{ actor: 'admin', reason: 'ticket 4711', target: { targetPercent: 20 } },
          ...{ evicted: 2, freedBytes: 2 * MB, done: true },
          ...{ usedBeforeBytes: 4 * MB, usedAfterBytes: 2 * MB },
        },
      ],
      next: null,
    });
  });

  it.each([
    {},
    { all: false },
    { all: true, targetMb: 1 },
    { targetMb: -1 },
    { targetPercent: 101 },
    { all: true, reason: '' },
    { all: true, resume: 'x' },
    { all: true, resume: Buffer.from('1.1.?').toString('base64url') },
    { resume: Buffer.from('1.1.').toString('base64url') },
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
  const evict = async (resume?: unknown): Promise<Record<string, unknown>> =>
    (await answer(await service.admin('POST', `/${tenant.id}/evict`, { all: true, resume }))).json;
  const counts = { evicted: 1_000, freedBytes: 1_000, usedBytes: 5, done: false };
  const { resume, ...first } = await evict();
  expect(first).toEqual(counts);
  const rest = { evicted: 5, freedBytes: 5, usedBytes: 0, done: true, resume: null };
  for (const [id, body] of [
    [(await service.tenant()).id, { all: true, resume }],
    [tenant.id, { targetMb: 0, resume }],
  ] as const) {
    expect((await service.admin('POST', `/${id}/evict`, body)).status).toBe(400);
  }
  expect(await tenant.used()).toBe(5);
  expect(await evict(resume)).toEqual(rest);
  const again = { all: true, resume };
  expect((await service.admin('POST', `/${tenant.id}/evict`, again)).status).toBe(400);
  const { json } = await answer(await service.admin('GET', `/${tenant.id}/evictions`));
  expect(json['items']).toMatchObject([{ evicted: 1_005, freedBytes: 1_005, done: true }]);
  await service.stop();
});
