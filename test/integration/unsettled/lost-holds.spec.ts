import type { Service, Tenant } from '../../e2e/support/service';
import { MB } from '../../e2e/support/service';
import { waitUntil } from '../../support';
import { Stand } from './stand';

let stand: Stand;
let survivor: Service;

beforeAll(async () => {
  stand = await Stand.start({});
  ({ survivor } = stand);
}, 60_000);
afterEach(() => stand.endAll());
afterAll(() => stand.stop(), 60_000);

const KEPT = 700_000;
const FATAL = 300_000;

const LOSSES: Record<string, () => Promise<void>> = {
  FLUSHALL: async () => {
    await stand.servers.redis.client().flushall();
  },
  // With all tenants reconciled, as they are once a server was replaced.
  'a restart without data': async () => {
    const { redis } = stand.servers;
    await redis.kill();
    await redis.restart();
    const client = redis.client();
    const recovered = async (): Promise<boolean> => {
      const [mark] = await client.keys('*recovered:*');
      // While it is only looked at it lives for 1 ms.
      return mark !== undefined && (await client.pttl(mark)) > 1_000;
    };
    await waitUntil(recovered, { timeoutMs: 20_000, what: () => 'the recovery' });
  },
};

/** Redis was rebuilt and decides: not a byte more than the limit is admitted, nor less. */
async function fill(tenant: Tenant, left: number): Promise<void> {
  let status: number | undefined;
  const full = async (): Promise<boolean> => {
    ({ status } = await tenant.put('other', left));
    return status === 201;
  };
  await waitUntil(full, { timeoutMs: 20_000, what: () => `201, got ${status}` });
  expect((await tenant.putUntilDecided('more', 1)).status).toBe(429);
}

/** @returns how much less than before is used, in bytes */
async function reconcile(tenant: Tenant): Promise<unknown> {
  const answer = await survivor.admin('POST', `/${tenant.id}/reconcile`);
  expect(answer.status).toBe(200);
  return ((await answer.json()) as { driftBytes: unknown }).driftBytes;
}

async function put(url: string, tenant: Tenant): Promise<unknown> {
  const headers = { 'X-Tenant-ID': tenant.id };
  return fetch(`${url}/cache/fatal`, { method: 'PUT', headers, body: Buffer.alloc(FATAL) }).catch(
    () => undefined,
  );
}

describe.each(Object.keys(LOSSES))('%s takes the holds of a process', (loss) => {
  it('that holds them anew, stores and dies: not a byte beyond the limit', async () => {
    const tenant = await survivor.tenant({ quotaMb: 1 });
    await tenant.put('stays', KEPT);
    const { url, ended, says, goOn } = await stand.dying('stored late, not committed');
    const failing = put(url, tenant);
    await says('reserved');
    await LOSSES[loss]!();
    await fill(tenant, MB - KEPT - FATAL);
    expect(await tenant.used()).toBe(MB);

    goOn();
    await failing;
    expect(await ended).toEqual([null, 'SIGKILL']);
    expect(await stand.stored(tenant)).toBe(MB);
    expect(await reconcile(tenant)).toBe(0);
    expect((await tenant.putUntilDecided('more', 1)).status).toBe(429);
  }, 60_000);

  it('that is about to replace a larger value, which counts until then', async () => {
    const tenant = await survivor.tenant({ quotaMb: 1 });
    await tenant.put('stays', 200_000);
    await tenant.put('fatal', KEPT);
    const { url, ended, says, goOn } = await stand.dying('stored late');
    const replacing = put(url, tenant);
    await says('reserved');
    await LOSSES[loss]!();
    await fill(tenant, MB - 200_000 - KEPT);

    goOn();
    expect(await replacing).toMatchObject({ status: 200 });
    expect(await stand.stored(tenant)).toBe(MB - KEPT + FATAL);
    expect(await tenant.used()).toBe(MB - KEPT + FATAL);
    expect(await reconcile(tenant)).toBe(0);
    stand.endAll();
    await ended;
  }, 60_000);

  it('that stands still, stores and dies: over by its write, until the tenant is reconciled', async () => {
    const tenant = await survivor.tenant({ quotaMb: 1 });
    await tenant.put('stays', KEPT);
    const { url, ended, says, goOn, standStill, wake } = await stand.dying(
      'stored late, not committed',
    );
    const failing = put(url, tenant);
    await says('reserved');
    expect(await tenant.used()).toBe(KEPT + FATAL);
    standStill();
    await LOSSES[loss]!();
    await fill(tenant, MB - KEPT);
    expect(await stand.stored(tenant)).toBe(MB);

    goOn();
    wake();
    await failing;
    expect(await ended).toEqual([null, 'SIGKILL']);
    const overBytes = (await stand.stored(tenant)) - MB;
    if (process.env['QUOTA_FIGURES'] !== undefined) {
      process.stdout.write(`${loss}: ${overBytes} of ${FATAL} bytes beyond the limit\n`);
    }
    expect(overBytes).toBe(FATAL);

    // Found by that, unless it was held anew when the process woke.
    await reconcile(tenant);
    expect(await tenant.used()).toBe(MB + FATAL);
    expect(await reconcile(tenant)).toBe(0);
    expect((await tenant.putUntilDecided('more', 1)).status).toBe(429);
  }, 60_000);

  it('that has stored and died: found by the rebuild, not a byte beyond the limit', async () => {
    const tenant = await survivor.tenant({ quotaMb: 1 });
    await tenant.put('stays', KEPT);
    const { url, ended } = await stand.dying('stored, not committed');
    await put(url, tenant);
    expect(await ended).toEqual([null, 'SIGKILL']);
    await LOSSES[loss]!();
    await fill(tenant, MB - KEPT - FATAL);
    expect(await stand.stored(tenant)).toBe(MB);
    expect(await tenant.used()).toBe(MB);
    expect(await reconcile(tenant)).toBe(0);
  }, 60_000);
});
