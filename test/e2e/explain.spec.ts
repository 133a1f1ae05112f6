import { waitUntil } from '../support';
import { startProxy, type Proxy } from '../integration/redis/proxy';
import { answer, MB, Service, type Tenant } from './support/service';
import { Servers } from './support/stacks';

jest.setTimeout(60_000);

let service: Service;

async function explain(id: string): Promise<Record<string, unknown>> {
  const { status, json } = await answer(await service.admin('GET', `/${id}/explain`));
  expect(status).toBe(200);
  return json;
}

describe('what the settings decide', () => {
  afterEach(() => service.stop());

  it('says that tenants without a quota are refused', async () => {
    service = await Service.start({ QUOTA_UNKNOWN_TENANT: 'deny' });
    const stranger = await service.tenant();
    expect((await stranger.put('a', 1)).status).toBe(403);
    expect(await explain(stranger.id)).toMatchObject({
      ...{ tenantId: stranger.id, origin: 'deny', limit: null, percent: null },
      ...{ configuration: { stamp: 0, latestStamp: 0 }, decides: 'memory' },
      mode: { mode: 'enforce', reason: 'everyone' },
    });
    await stranger.setQuota({ quotaMb: 1 });
    expect(await explain(stranger.id)).toMatchObject({ origin: 'tenant', limit: { quotaMb: 1 } });
  });

  it('says that the environment turns it off, whatever is set of the tenant', async () => {
    service = await Service.start({ QUOTA_ENFORCEMENT_ENABLED: 'false' });
    const tenant = await service.tenant({ quotaMb: 1, mode: 'enforce' });
    expect((await tenant.put('a', 2 * MB)).status).toBe(201);
    expect(await explain(tenant.id)).toMatchObject({
      limit: { quotaMb: 1 },
      mode: { mode: 'off', reason: 'kill_switch', source: 'environment' },
    });
  });
});

describe('with both stores away', () => {
  let servers: Servers;
  let link: Proxy;

  beforeAll(async () => {
    servers = await Servers.start();
    link = await startProxy(Number(new URL(servers.redis.url).port));
  });

  afterAll(async () => {
    await link.close();
    await servers.stop();
  });

  afterEach(() => service.stop());

  it.each([
    ['the budget of this process', { QUOTA_ON_OUTAGE: 'allow' }, 'budget'],
    ['nobody', { QUOTA_ON_OUTAGE: 'deny' }, 'nobody'],
  ])('says that %s decides', async (_who, settings, decides) => {
    service = await Service.start({
      ...(await servers.settings({ adapter: 'express', stores: 'postgres' })),
      ...{ REDIS_URL: `redis://127.0.0.1:${link.port}`, ...settings },
    });
    const tenant: Tenant = await service.tenant({ quotaMb: 7, mode: 'enforce' });
    expect((await tenant.put('a', MB)).status).toBe(201);
    expect(await explain(tenant.id)).toMatchObject({ store: 'redis', decides: 'redis' });
    link.down();
    await servers.postgres.kill();
    let last: Record<string, unknown> = {};
    await waitUntil(
      async () => {
        await tenant.put('b', 1);
        last = await explain(tenant.id);
        return last['decides'] === decides;
      },
      { timeoutMs: 20_000, what: () => `${decides} to decide; ${JSON.stringify(last)}` },
    );
    // What is held of its quota is said all the same.
    expect(last).toMatchObject({
      ...{ origin: 'tenant', limit: { quotaMb: 7 }, store: 'redis', usage: null, percent: null },
      ...{ configuration: { latestStamp: null }, mode: { mode: 'enforce' } },
      breakers: { redis: expect.stringMatching(/open/), postgres: expect.stringMatching(/open/) },
    });
    expect((await tenant.put('b', 1)).status).toBe(503);
    link.up();
    await servers.postgres.restart();
    await waitUntil(async () => (await explain(tenant.id))['decides'] === 'redis', {
      timeoutMs: 20_000,
    });
    expect(await explain(tenant.id)).toMatchObject({ usage: { usedBytes: MB } });
  });
});
