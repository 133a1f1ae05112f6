import { Test } from '@nestjs/testing';
import { QuotaModule, QuotaRollout } from '@app/quota';
import { Client } from 'pg';
import { createDataSource } from '../../src/database/data-source';
import { startProxy, type Proxy } from '../integration/redis/proxy';
import { waitUntil } from '../support';
import {
  ADMIN_TOKEN,
  answer,
  MB,
  quotaHeadersOf,
  Service,
  type Answer,
  type Tenant,
} from './support/service';
import { Servers } from './support/stacks';

jest.setTimeout(60_000);

let servers: Servers;
let settings: Record<string, string>;
let proxy: Proxy;
let database: Client;
/** Two instances over the same stores; that the second one reaches its database by can be cut. */
let here: Service;
let there: Service;

beforeAll(async () => {
  servers = await Servers.start();
  const stores = await servers.settings({ adapter: 'express', stores: 'redis' });
  // As a rollout starts: nothing said of whether it is on.
  settings = { ...stores, QUOTA_ENFORCEMENT_ENABLED: '', QUOTA_ROLLOUT_REFRESH_SECONDS: '1' };
  const url = new URL(String(stores['DATABASE_URL']));
  proxy = await startProxy(Number(url.port));
  database = new Client({ connectionString: url.href });
  await database.connect();
  here = await Service.start(settings);
  url.port = String(proxy.port);
  there = await Service.start({ ...settings, DATABASE_URL: url.href, HTTP_ADAPTER: 'fastify' });
});

afterAll(async () => {
  await Promise.all([here.stop(), there.stop()]);
  await database.end();
  await proxy.close();
  await servers.stop();
});

beforeEach(async () => {
  expect((await rollout(here, 'DELETE')).status).toBe(200);
});

async function admin(
  service: Service,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return answer(
    await service.fetch(`/admin/${path}`, {
      method,
      headers: { Authorization: `Bearer ${ADMIN_TOKEN}`, ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    }),
  );
}

const rollout = (service: Service, method: string, body?: unknown): Promise<Answer> =>
  admin(service, method, 'rollout', body);

async function set(service: Service, body: object): Promise<void> {
  const changed = await rollout(service, 'PUT', body);
  expect([changed.status, changed.json]).toEqual([200, expect.objectContaining(body)]);
}

/** The mode that a write of the tenant's met, by its headers. */
async function modeOf(tenant: Tenant): Promise<string> {
  const { headers } = await tenant.put('mode', 1);
  return quotaHeadersOf(headers)['mode'] ?? 'off';
}

async function metric(service: Service, name: string): Promise<number> {
  const text = await (await service.fetch('/metrics')).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return Number(line?.slice(name.length) ?? NaN);
}

it('goes from off to everyone and back, each step with the next request on the other instance', async () => {
  const tenant = await there.tenant({ quotaMb: 1 });
  expect(await modeOf(tenant)).toBe('off');
  await set(here, { enabled: true, logOnly: true });
  expect(await modeOf(tenant)).toBe('shadow');
  await set(here, { tenants: [tenant.id] });
  expect(await modeOf(tenant)).toBe('enforce');
  await set(here, { tenants: [], logOnly: false, percent: 0 });
  expect(await modeOf(tenant)).toBe('shadow');
  await set(here, { percent: 100 });
  expect(await modeOf(tenant)).toBe('enforce');
  await tenant.setQuota({ quotaMb: 1, mode: 'shadow' });
  expect(await modeOf(tenant)).toBe('shadow');
  await set(here, { enabled: false });
  expect(await modeOf(tenant)).toBe('off');
  expect(await metric(there, 'quota_enforcement_mode{mode="off"}')).toBe(1);
  await set(here, { enabled: true });
  expect(await metric(there, 'quota_enforcement_mode{mode="enforce"}')).toBe(1);
  expect((await rollout(here, 'DELETE')).json).toMatchObject({ enabled: false, mode: 'off' });
  expect(await modeOf(tenant)).toBe('off');
});

it('only adds tenants as the percentage rises, the same on both instances', async () => {
  const tenants = await Promise.all(Array.from({ length: 20 }, () => here.tenant()));
  const enforced = async (percent: number): Promise<Set<string>> => {
    await set(here, { enabled: true, percent });
    const modes = await Promise.all(tenants.map((tenant) => modeOf(tenant)));
    const others = await Promise.all(tenants.map((tenant) => modeOf(tenant.at(there))));
    expect(others).toEqual(modes);
    return new Set(tenants.filter((_, i) => modes[i] === 'enforce').map(({ id }) => id));
  };
  const [ten, fifty, all] = [await enforced(10), await enforced(50), await enforced(100)];
  expect([...ten].filter((id) => !fifty.has(id))).toEqual([]);
  expect([...fifty].filter((id) => !all.has(id))).toEqual([]);
  expect(all.size).toBe(20);
});

it('says what holds, where each value comes from, and who changed what', async () => {
  const { json: before } = await rollout(here, 'GET');
  expect(before).toMatchObject({ enabled: false, mode: 'off', killSwitch: false });
  expect(before['sources']).toEqual({
    ...{ enabled: 'environment', logOnly: 'environment' },
    ...{ percent: 'environment', tenants: 'environment' },
  });
  const version = Number(before['version']);
  const changed = await rollout(here, 'PUT', { enabled: true, percent: 12.5, version });
  expect(changed.headers.get('etag')).toBe(`"${version + 1}"`);
  expect((await rollout(there, 'GET')).json).toEqual({
    ...{ enabled: true, logOnly: false, percent: 12.5, tenants: [], mode: 'enforce' },
    sources: {
      ...{ enabled: 'runtime', logOnly: 'environment' },
      ...{ percent: 'runtime', tenants: 'environment' },
    },
    ...{ killSwitch: false, version: version + 1, changedBy: 'admin', confirmed: true },
    changedAt: expect.stringMatching(/^20\d\d-/),
  });
  const { json: history } = await admin(here, 'GET', 'rollout/history?limit=1');
  expect(history).toMatchObject({
    items: [{ version: version + 1, changedBy: 'admin', after: { enabled: true, percent: 12.5 } }],
    next: version + 1,
  });
  const { json: older } = await admin(here, 'GET', `rollout/history?before=${version + 1}`);
  expect((older['items'] as { version: number }[])[0]?.version).toBe(version);
  expect((await rollout(here, 'PUT', { percent: null })).json).toMatchObject({ percent: 100 });
});

it('refuses a change of something else than was read, with 409', async () => {
  const version = Number((await rollout(here, 'GET')).json['version']);
  await set(there, { percent: 10 });
  const stale = await rollout(here, 'PUT', { percent: 50, version });
  expect([stale.status, stale.json['error']]).toEqual([409, 'rollout_conflict']);
  const tag = { 'If-Match': `"${version}"` };
  expect((await admin(here, 'DELETE', 'rollout', undefined, tag)).status).toBe(409);
  expect((await rollout(there, 'GET')).json['percent']).toBe(10);
  const both = await Promise.all(
    [20, 30].map((percent) => rollout(here, 'PUT', { percent, version: version + 1 })),
  );
  expect(both.map(({ status }) => status).sort()).toEqual([200, 409]);
});

const names = Array.from({ length: 1_001 }, (_, i) => `t${i}`);

it.each([
  [{}, 'body'],
  [{ percent: 101 }, 'percent'],
  [{ percent: 1.234 }, 'percent'],
  [{ percent: '10' }, 'percent'],
  [{ tenants: ['a b'] }, 'tenants.0'],
  [{ enabled: 'yes' }, 'enabled'],
  [{ enable: true }, 'body'],
  [{ percent: 1, version: -1 }, 'version'],
  ['more names than allowed', 'tenants'],
])('does not take %j', async (given, where) => {
  const body = typeof given === 'string' ? { tenants: names } : given;
  const refused = await rollout(here, 'PUT', body);
  expect(refused.status).toBe(400);
  expect(refused.json['errors']).toEqual([{ where, allowed: expect.any(String) }]);
});

it.each(['rollout/impact?since=1y', 'rollout/impact?limit=0', 'rollout/history?before=x'])(
  'does not take %s',
  async (path) => {
    expect((await admin(here, 'GET', path)).status).toBe(400);
  },
);

it.each([
  ['limitMB=500', 'query'],
  ['limitMb=0', 'limitMb'],
  ['overageMb=5', 'overageMb'],
  ['percent=101', 'percent'],
  ['tenant=a%20b', 'tenant'],
  ['since=tomorrow', 'since'],
  ['limitMb=1&limitMb=2', 'limitMb'],
])('does not simulate %s', async (query, where) => {
  const refused = await admin(here, 'GET', `simulate?${query}`);
  expect(refused.status).toBe(400);
  expect(refused.json['errors']).toMatchObject([{ where }]);
});

it.each([
  ['GET', 'rollout'],
  ['PUT', 'rollout'],
  ['DELETE', 'rollout'],
  ['GET', 'rollout/history'],
  ['GET', 'rollout/impact'],
  ['GET', 'simulate'],
])('lets only admins %s /admin/%s', async (method, path) => {
  const nobody = await answer(await here.fetch(`/admin/${path}`, { method }));
  const wrong = await admin(here, method, path, undefined, { Authorization: 'Bearer wrong' });
  const tenant = await here.tenant();
  const other = await answer(await tenant.request(method, `/admin/${path}`));
  expect(nobody.status).toBe(401);
  expect([wrong.status, other.status]).toEqual([401, 403]);
});

it('finds by itself what nobody told of', async () => {
  const tenant = await there.tenant();
  await set(here, { enabled: true, logOnly: true });
  // What was told is behind them both; only a round can find the next one.
  expect((await rollout(there, 'GET')).json).toMatchObject({ logOnly: true });
  // As a change whose announcement was lost: in the table, and on no channel.
  await database.query('UPDATE quota_rollout SET log_only = false, version = version + 1');
  await waitUntil(async () => (await modeOf(tenant)) === 'enforce');
  expect((await rollout(there, 'GET')).json).toMatchObject({ logOnly: false, confirmed: true });
});

it('goes on with what it knows while its database is away, and hears of changes all the same', async () => {
  const tenant = await there.tenant();
  await set(here, { enabled: true, logOnly: true });
  expect(await modeOf(tenant)).toBe('shadow');
  proxy.down();
  try {
    await waitUntil(async () => (await rollout(there, 'GET')).json['confirmed'] === false);
    expect((await rollout(there, 'GET')).json).toMatchObject({ logOnly: true, mode: 'shadow' });
    for (const [method, path, body] of [
      ['PUT', 'rollout', { percent: 10 }],
      ['DELETE', 'rollout', undefined],
      ['GET', 'rollout/history', undefined],
      ['GET', 'rollout/impact', undefined],
      ['GET', 'simulate', undefined],
    ] as const) {
      const refused = await admin(there, method, path, body);
      expect([path, refused.status, refused.json['error']]).toEqual([
        ...[path, 503, 'quota_unavailable'],
      ]);
    }
    await set(here, { enabled: false });
    await waitUntil(async () => (await modeOf(tenant)) === 'off');
  } finally {
    proxy.up();
  }
  await waitUntil(async () => (await rollout(there, 'GET')).json['confirmed'] === true);
});

it('starts with the environment while its database is away, and tries again', async () => {
  await set(here, { enabled: true, percent: 7 });
  const url = new URL(String(settings['DATABASE_URL']));
  url.port = String(proxy.port);
  const dataSource = await createDataSource({ databaseUrl: url.href, dataDir: 'unused' });
  const options = { dataSource, enabled: false, killSwitch: false, rolloutRefreshSeconds: 1 };
  const module = await Test.createTestingModule({
    imports: [QuotaModule.forRoot(options)],
  }).compile();
  const { current: environment } = module.get(QuotaRollout);
  proxy.down();
  try {
    await module.init();
    expect(module.get(QuotaRollout).current).toBe(environment);
  } finally {
    proxy.up();
  }
  await waitUntil(() => module.get(QuotaRollout).current.percent === 7);
  expect(module.get(QuotaRollout).current.enabled).toBe(true);
  await module.close();
  await dataSource.destroy();
});

it('stays off where the environment says off, and says so', async () => {
  await set(here, { enabled: true });
  const killed = await Service.start({ ...settings, QUOTA_ENFORCEMENT_ENABLED: 'false' });
  try {
    expect((await rollout(killed, 'GET')).json).toMatchObject({
      ...{ enabled: false, mode: 'off', killSwitch: true },
      sources: { enabled: 'environment' },
    });
    expect(await modeOf(await killed.tenant())).toBe('off');
    const refused = await rollout(killed, 'PUT', { enabled: true });
    expect([refused.status, refused.json['error']]).toEqual([409, 'kill_switch']);
    // One that starts later takes over what was set, though its environment says nothing.
    const later = await Service.start(settings);
    expect(await modeOf(await later.tenant())).toBe('enforce');
    await later.stop();
  } finally {
    await killed.stop();
  }
});

it('tells in shadow what enforcing would refuse, and what another limit would have', async () => {
  await set(here, { enabled: true, logOnly: true });
  const rejections = 'quota_rejections_total{mode="shadow"}';
  const before = (await metric(there, rejections)) || 0;
  const tenant = await there.tenant({ quotaMb: 3 });
  const quiet = await there.tenant({ quotaMb: 3 });
  const began = new Date().toISOString();
  await quiet.put('a', 1 * MB);
  // 2 + 2 is beyond 3; enforced, the third would fit then: 2 + 1.
  for (const [key, size] of [
    ['a', 2],
    ['b', 2],
    ['c', 1],
  ] as const) {
    const stored = await tenant.put(key, size * MB);
    expect(stored.status).toBe(201);
    const status = key === 'a' ? 'ok' : 'exceeded';
    expect(quotaHeadersOf(stored.headers)).toMatchObject({ status, mode: 'shadow' });
  }
  expect(await metric(there, rejections)).toBe(before + 2);

  const impact = async (): Promise<Answer> =>
    admin(here, 'GET', `rollout/impact?since=${encodeURIComponent(began)}`);
  await waitUntil(async () => JSON.stringify((await impact()).json).includes('"writes":4'));
  expect((await impact()).json).toMatchObject({
    // The outages before may have cost some.
    record: { missedWrites: expect.any(Number), olderDropped: false },
    summary: {
      ...{ tenants: 2, refusedTenants: 1, refusedTenantsPercent: 50 },
      ...{ writes: 4, refusedWrites: 2, refusedWritesPercent: 50, refusedBytes: 3 * MB },
    },
    items: [
      {
        ...{ tenantId: tenant.id, writes: 3, wouldHaveRefused: 2, refused: 0 },
        ...{ refusedBytes: 3 * MB, furthestBeyondBytes: 2 * MB },
      },
    ],
    next: null,
  });

  const simulate = async (query: string): Promise<Record<string, unknown>> => {
    const path = `simulate?since=${encodeURIComponent(began)}&${query}`;
    const simulated = await admin(here, 'GET', path);
    expect(simulated.status).toBe(200);
    return simulated.json;
  };
  // With the limits in force: what was refused is not there, so the last one fits.
  expect(await simulate('')).toMatchObject({
    proposal: { limitMb: null, overageMb: null, percent: 100 },
    summary: { rows: 4, tenants: 2, refusedTenants: 1, refusals: 1, refusedBytes: 2 * MB },
    items: [
      {
        ...{ tenantId: tenant.id, writes: 3, refusals: 1, furthestBeyondBytes: 1 * MB },
        first: [{ bytes: 2 * MB, usedBytes: 2 * MB, beyondBytes: 1 * MB }],
      },
    ],
    next: null,
  });
  expect(await simulate('limitMb=4&overageMb=1')).toMatchObject({ summary: { refusals: 0 } });
  expect(await simulate('limitMb=1&percent=0')).toMatchObject({
    summary: { rows: 4, enforcedTenants: 0, refusals: 0 },
  });
  const one = await simulate(`limitMb=1&tenant=${tenant.id}`);
  expect(one).toMatchObject({ summary: { rows: 3, tenants: 1, refusals: 2 } });
  expect(one['items']).toMatchObject([{ first: [{ usedBytes: 0 }, { usedBytes: 0 }] }]);
});
