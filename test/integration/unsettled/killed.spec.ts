import { MB, type Service, type Tenant } from '../../e2e/support/service';
import { waitUntil } from '../../support';
import { Stand } from './stand';

const TTL_SECONDS = 2;
/** A sweep every four seconds at least, and the reconciliation of a small tenant. */
const SOON_MS = TTL_SECONDS * 1_000 + 5_000 + 1_000;

let stand: Stand;
let survivor: Service;

beforeAll(async () => {
  stand = await Stand.start({ QUOTA_RESERVATION_TTL_SECONDS: String(TTL_SECONDS) });
  ({ survivor } = stand);
}, 60_000);
afterEach(() => stand.endAll());
afterAll(() => stand.stop(), 60_000);

/** As the tenant is told by the surviving instance. */
async function settles(tenant: Tenant, wanted: number): Promise<number> {
  const began = performance.now();
  let seen: unknown;
  await waitUntil(
    async () => {
      const { usedBytes, reservedBytes } = await tenant.standing();
      seen = { usedBytes, reservedBytes, stored: await stand.stored(tenant) };
      return usedBytes === wanted && reservedBytes === 0;
    },
    { timeoutMs: SOON_MS, what: () => JSON.stringify({ wanted, seen }) },
  );
  return performance.now() - began;
}

describe('a process that is killed', () => {
  it.each([
    ['a new value', 'fatal', 3_000, 4_000],
    ['a value in the place of a larger one', 'fatal-again', 500, 1_500],
  ])(
    'between storing %s and committing it is found',
    async (_what, key, size, used) => {
      const tenant = await survivor.tenant({ quotaMb: 1 });
      await tenant.put('stays', 1_000);
      await tenant.put('fatal-again', 2_000);
      if (key === 'fatal') await tenant.delete('fatal-again');
      const { url, ended } = await stand.dying('stored, not committed');
      const headers = { 'X-Tenant-ID': tenant.id };
      const body = Buffer.alloc(size);
      await expect(
        fetch(`${url}/cache/${key}`, { method: 'PUT', headers, body }),
      ).rejects.toThrow();
      expect(await ended).toEqual([null, 'SIGKILL']);
      expect(await stand.stored(tenant)).toBe(used);
      const tookMs = await settles(tenant, used);
      if (process.env['QUOTA_FIGURES'] !== undefined) process.stdout.write(`found ${tookMs} ms\n`);
    },
    60_000,
  );

  it('keeps what it stored counted all the while until it is found', async () => {
    const tenant = await survivor.tenant({ quotaMb: 1 });
    const [kept, fatal, other] = [700_000, 300_000, 200_000];
    await tenant.put('stays', kept);
    const { url, ended } = await stand.dying('stored, not committed');
    const headers = { 'X-Tenant-ID': tenant.id };
    const body = Buffer.alloc(fatal);
    await expect(fetch(`${url}/cache/fatal`, { method: 'PUT', headers, body })).rejects.toThrow();
    expect(await ended).toEqual([null, 'SIGKILL']);
    const began = performance.now();
    const statuses = new Map<number, number>();
    const found = async (): Promise<boolean> => {
      const { status } = await tenant.put('other', other);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      const { usedBytes, reservedBytes } = await tenant.standing();
      expect(usedBytes).toBe(kept + fatal);
      return reservedBytes === 0;
    };
    await waitUntil(found, { timeoutMs: SOON_MS, what: () => JSON.stringify([...statuses]) });
    const tookMs = performance.now() - began;
    expect(tookMs).toBeGreaterThan(TTL_SECONDS * 1_000 * 0.9);
    expect([...statuses.keys()].filter((status) => status !== 429 && status !== 503)).toEqual([]);
    // Between the deadline and the look, which may come at once, nobody can say.
    if (tookMs > TTL_SECONDS * 1_000 + 500) expect(statuses.get(503)).toBeGreaterThan(0);
    expect((await tenant.put('other', other)).status).toBe(429);
    expect(await stand.stored(tenant)).toBe(kept + fatal);
  }, 60_000);

  it('between deleting a value and telling the ledger is found', async () => {
    const tenant = await survivor.tenant({ quotaMb: 1 });
    await tenant.put('stays', 1_000);
    await tenant.put('fatal', 3_000);
    const { url, ended } = await stand.dying('deleted, not told');
    const headers = { 'X-Tenant-ID': tenant.id };
    await expect(fetch(`${url}/cache/fatal`, { method: 'DELETE', headers })).rejects.toThrow();
    expect(await ended).toEqual([null, 'SIGKILL']);
    expect(await stand.stored(tenant)).toBe(1_000);
    expect(await tenant.used()).toBe(4_000);
    const tookMs = await settles(tenant, 1_000);
    if (process.env['QUOTA_FIGURES'] !== undefined) process.stdout.write(`found ${tookMs} ms\n`);
  }, 60_000);
});

describe('a process that stands still beyond its deadline', () => {
  it('is beyond the limit by what it stores then, until it has undone it', async () => {
    const tenant = await survivor.tenant({ quotaMb: 1 });
    const [kept, late] = [700_000, 300_000];
    const other = MB - kept;
    await tenant.put('stays', kept);
    const { url, says, goOn } = await stand.dying('stored late');
    const headers = { 'X-Tenant-ID': tenant.id };
    const put = fetch(`${url}/cache/fatal`, { method: 'PUT', headers, body: Buffer.alloc(late) });
    await says('reserved');
    // Its key was looked into, and nothing was there.
    await settles(tenant, kept);
    expect((await tenant.put('other', other)).status).toBe(201);
    goOn();
    let [answered, most, beyondMs] = [false, 0, 0];
    const answer = put.finally(() => (answered = true));
    for (let began = 0; !answered;) {
      const bytes = await stand.stored(tenant);
      most = Math.max(most, bytes);
      if (bytes > MB) beyondMs = performance.now() - (began ||= performance.now());
    }
    expect((await answer).status).toBe(429);
    expect(most).toBeLessThanOrEqual(MB + late);
    expect(await stand.stored(tenant)).toBe(MB);
    expect(await tenant.used()).toBe(MB);
    if (process.env['QUOTA_FIGURES'] !== undefined) {
      process.stdout.write(`${most - MB} of ${late} bytes beyond the limit, for ${beyondMs} ms\n`);
    }
  }, 60_000);
});

describe('a tenant that is deleted', () => {
  it('is counted right though a process stores a value of the life before, and dies', async () => {
    const tenant = await survivor.tenant({ quotaMb: 1 });
    const { url, ended, says, goOn } = await stand.dying('stored late, not committed');
    const headers = { 'X-Tenant-ID': tenant.id };
    const put = fetch(`${url}/cache/fatal`, { method: 'PUT', headers, body: Buffer.alloc(3_000) });
    const failing = expect(put).rejects.toThrow();
    await says('reserved');
    expect((await survivor.admin('DELETE', `/${tenant.id}`)).status).toBe(204);
    await tenant.put('new', 1_000);
    goOn();
    await failing;
    expect(await ended).toEqual([null, 'SIGKILL']);
    expect(await stand.stored(tenant)).toBe(4_000);
    expect(await tenant.used()).toBe(1_000);
    await settles(tenant, 4_000);
  }, 60_000);
});

describe('a removal', () => {
  it('leaves no reservation behind, and nothing at all where there was nothing', async () => {
    const redis = stand.servers.redis.client();
    const tenant = await survivor.tenant();
    expect((await tenant.delete('absent')).status).toBe(404);
    expect(await redis.keys(`*${tenant.id}*`)).toEqual([]);
    await tenant.put('k', 1_000);
    expect((await tenant.delete('k')).status).toBe(204);
    expect(await redis.hget(`quota:{${tenant.id}}:s`, 'r')).toBe('0');
    expect(await redis.keys(`quota:{${tenant.id}}:[dp]`)).toEqual([]);
    redis.disconnect();
  });

  it('is made though Redis is away', async () => {
    const tenant = await survivor.tenant();
    await tenant.put('k', 1_000);
    await stand.servers.redis.kill();
    try {
      expect((await tenant.delete('k')).status).toBe(204);
      expect(await stand.stored(tenant)).toBe(0);
    } finally {
      await stand.servers.redis.restart();
    }
  }, 30_000);
});
