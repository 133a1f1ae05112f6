import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../support';
import { ServiceProcess } from './support/process';
import { answer, Service, type Standing, type Tenant } from './support/service';
import { Servers } from './support/stacks';

jest.setTimeout(120_000);

const ENTRIES = 900;
const BYTES = 2_000;
const KEYS = Array.from({ length: ENTRIES }, (_, i) => `k${i}`);

describe.each(['redis', 'postgres'] as const)('an eviction, values in %s', (stores) => {
  let servers: Servers;
  let settings: Record<string, string>;
  let service: Service;

  beforeAll(async () => {
    servers = await Servers.start();
    settings = { ...(await servers.settings({ adapter: 'express', stores })) };
    service = await Service.start(settings);
  });

  afterAll(async () => {
    await service.stop();
    await servers.stop();
  });

  async function filled(): Promise<Tenant> {
    const tenant = await service.tenant({ quotaMb: 100 });
    for (let at = 0; at < ENTRIES; at += 10) {
      const keys = KEYS.slice(at, at + 10);
      await Promise.all(keys.map((key) => tenant.putUntilDecided(key, BYTES)));
    }
    expect(await tenant.used()).toBe(ENTRIES * BYTES);
    return tenant;
  }

  function evict(tenant: Tenant): Promise<Response> {
    return service.admin('POST', `/${tenant.id}/evict`, { all: true });
  }

  async function evictions(tenant: Tenant): Promise<Record<string, unknown>[]> {
    const { json } = await answer(await service.admin('GET', `/${tenant.id}/evictions`));
    return json['items'] as Record<string, unknown>[];
  }

  /** By reading each value. */
  async function storedBytes(tenant: Tenant): Promise<number> {
    let stored = 0;
    for (const key of KEYS) {
      let response = await tenant.get(key);
      // A store that was away is found again within a second.
      for (let n = 0; response.status === 503 && n < 20; n += 1) {
        await sleep(200);
        response = await tenant.get(key);
      }
      const { byteLength } = await response.arrayBuffer();
      if (response.status === 200) stored += byteLength;
      else expect(response.status).toBe(404);
    }
    return stored;
  }

  /** What lapses at a deadline, or waits for a store, is over; then nothing may be left over. */
  async function expectExactSoon(tenant: Tenant): Promise<number> {
    const stored = await storedBytes(tenant);
    let standing: Standing | undefined;
    await waitUntil(
      async () => {
        standing = await tenant.standing();
        return standing.committedBytes === stored && standing.reservedBytes === 0;
      },
      {
        timeoutMs: 20_000,
        what: () => `${JSON.stringify(standing)} to be ${stored} stored`,
      },
    );
    return stored;
  }

  it('may be cut short by the death of its process, and done again', async () => {
    const tenant = await filled();
    const other = await ServiceProcess.start({
      ...settings,
      QUOTA_RESERVATION_TTL_SECONDS: '2',
    });
    const cut = other
      .request('POST', `/admin/quotas/${tenant.id}/evict`, JSON.stringify({ all: true }))
      .catch(() => 'cut');
    await waitUntil(async () => (await tenant.used()) < (ENTRIES - 50) * BYTES);
    other.kill();
    expect(await cut).toBe('cut');
    const left = await expectExactSoon(tenant);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThan(ENTRIES * BYTES);
    expect(await evictions(tenant)).toMatchObject([
      { usedBeforeBytes: ENTRIES * BYTES, evicted: 0, done: false },
    ]);
    const { calls, freedBytes } = await evictAll(tenant);
    expect(freedBytes).toBe(left);
    expect(await expectExactSoon(tenant)).toBe(0);
    const trail = await evictions(tenant);
    expect(trail).toHaveLength(calls + 1);
    expect(trail[0]).toMatchObject({ done: true });
    expect(trail[calls - 1]).toMatchObject({ usedBeforeBytes: left });
    expect(trail[calls]).toMatchObject({ usedBeforeBytes: ENTRIES * BYTES, done: false });
  });

  it('may lose PostgreSQL midway, and be done again', async () => {
    const tenant = await filled();
    const cut = evict(tenant).then(answer);
    await waitUntil(async () => (await tenant.used()) < (ENTRIES - 50) * BYTES);
    await servers.postgres.kill();
    expect((await cut).status).toBe(503);
    // Nothing goes without the trail.
    const without = await answer(await evict(tenant));
    expect(without.status).toBe(503);
    await servers.postgres.restart();
    await waitUntil(async () => (await evictions(tenant).catch(() => [])).length > 0, {
      timeoutMs: 20_000,
    });
    await expectExactSoon(tenant);
    await evictAll(tenant);
    expect(await expectExactSoon(tenant)).toBe(0);
    const write = await tenant.putUntilDecided('k0', BYTES);
    expect(write.status).toBe(201);
    expect(await expectExactSoon(tenant)).toBe(BYTES);
  });

  /** A call ends after a time, done or not; on a busy machine it takes several. */
  async function evictAll(tenant: Tenant): Promise<{ calls: number; freedBytes: number }> {
    let [calls, freedBytes] = [0, 0];
    for (;;) {
      const { status, json } = await answer(await evict(tenant));
      if (status === 200) {
        calls += 1;
        freedBytes += Number(json['freedBytes']);
        if (json['done'] === true) {
          expect(json).toMatchObject({ usedBytes: 0 });
          return { calls, freedBytes };
        }
      } else {
        expect(status).toBe(503);
        await sleep(200);
      }
    }
  }
});
