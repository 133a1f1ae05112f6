import { setTimeout as sleep } from 'node:timers/promises';
import { startProxy, type Proxy } from '../integration/redis/proxy';
import { QuotaStore, rolloutBucket } from '@app/quota';
import { answer, MB, Service, type Answer } from './support/service';
import { Servers } from './support/stacks';

jest.setTimeout(60_000);

let servers: Servers;
let service: Service;
/** What the service reaches its Redis by. */
let link: Proxy;

beforeAll(async () => {
  servers = await Servers.start();
  const settings = await servers.settings({ adapter: 'express', stores: 'postgres' });
  link = await startProxy(Number(new URL(servers.redis.url).port));
  service = await Service.start({ ...settings, REDIS_URL: `redis://127.0.0.1:${link.port}` });
});

afterAll(async () => {
  await service.stop();
  await link.close();
  await servers.stop();
});

async function admin(method: string, path: string, body?: unknown): Promise<Answer> {
  return answer(await service.admin(method, path, body));
}

describe('plans', () => {
  it.each([
    ['starter', 100, 10],
    ['pro', 500, 50],
    ['enterprise', 2_048, 205],
  ])('%s sets the limits, and is named by them', async (plan, quotaMb, overageLimitMb) => {
    const { id } = await service.tenant();
    const limits = { quotaMb, overageAllowed: true, overageLimitMb };
    const set = await admin('PUT', `/${id}`, { plan });
    expect([set.status, set.json]).toEqual([201, expect.objectContaining({ ...limits, plan })]);
    const other = await admin('PUT', `/${id}`, { quotaMb: quotaMb + 1 });
    expect(other.json).toMatchObject({ ...limits, quotaMb: quotaMb + 1, plan: null });
    const back = await admin('PUT', `/${id}`, limits);
    expect(back.json).toMatchObject({ plan });
  });

  it('stands in place of limits, and not beside them', async () => {
    const { id } = await service.tenant();
    const both = await admin('PUT', `/${id}`, { plan: 'pro', quotaMb: 500, overageLimitMb: 1 });
    const allowed = 'not beside plan, which sets quotaMb, overageAllowed, overageLimitMb';
    expect([both.status, both.json['errors']]).toEqual([
      400,
      [
        { where: 'quotaMb', allowed },
        { where: 'overageLimitMb', allowed },
      ],
    ]);
    const unknown = await admin('PUT', `/${id}`, { plan: 'constructor' });
    expect([unknown.status, unknown.json['errors']]).toEqual([
      400,
      [{ where: 'plan', allowed: 'starter, pro, enterprise' }],
    ]);
    expect((await admin('PUT', `/${id}`, { mode: 'off' })).status).toBe(400);
    expect((await admin('GET', `/${id}`)).status).toBe(404);
  });
});

describe('explain', () => {
  it('says limit, configuration, usage, mode and store of a tenant with a quota', async () => {
    const tenant = await service.tenant();
    await admin('PUT', `/${tenant.id}`, { plan: 'starter', mode: 'shadow' });
    await tenant.put('a', MB);
    const { status, json } = await admin('GET', `/${tenant.id}/explain`);
    expect(status).toBe(200);
    const configuration = json['configuration'] as { stamp: number; ageSeconds: number };
    expect(configuration.stamp).toBeGreaterThan(0);
    expect(configuration.ageSeconds).toBeGreaterThanOrEqual(0);
    expect(json).toEqual({
      tenantId: tenant.id,
      origin: 'tenant',
      limit: {
        ...{ quotaMb: 100, quotaBytes: 100 * MB, overageAllowed: true, overageLimitMb: 10 },
        ...{ plan: 'starter' },
        thresholds: { warnAboveBytes: 100 * MB, rejectAboveBytes: 110 * MB },
      },
      configuration: { ...configuration, fresh: true, latestStamp: configuration.stamp },
      usage: {
        ...{ usedBytes: MB, usedMb: 1, committedBytes: MB, reservedBytes: 0, unmeteredBytes: 0 },
      },
      percent: 1,
      mode: {
        ...{ mode: 'shadow', reason: 'tenant_mode', source: 'tenant' },
        ...{ bucket: rolloutBucket(tenant.id), percent: 100 },
      },
      ...{ store: 'redis', decides: 'redis', breakers: { redis: 'closed', postgres: 'closed' } },
    });
  });

  it('answers for a tenant without a quota, and says what the rollout has to do with it', async () => {
    const { id } = await service.tenant();
    const { json } = await admin('GET', `/${id}/explain`);
    expect(json).toMatchObject({ origin: 'default', limit: { quotaMb: 100 }, percent: 0 });
    expect(json['mode']).toMatchObject({ mode: 'enforce', reason: 'everyone' });
    expect((await admin('GET', '/a%20b/explain')).status).toBe(400);
  });

  it('goes on while Redis is away, and says who decides then', async () => {
    const tenant = await service.tenant();
    await admin('PUT', `/${tenant.id}`, { plan: 'pro' });
    link.down();
    const decided = async (): Promise<unknown> =>
      (await admin('GET', `/${tenant.id}/explain`)).json['decides'];
    for (let i = 0; i < 100 && (await decided()) !== 'postgres'; i += 1) await tenant.put('a', 1);
    const { status, json } = await admin('GET', `/${tenant.id}/explain`);
    expect([status, json]).toEqual([
      200,
      expect.objectContaining({ store: 'redis', decides: 'postgres', origin: 'tenant' }),
    ]);
    expect(json['breakers']).toMatchObject({ postgres: 'closed' });
    link.up();
    for (let i = 0; i < 200 && (await decided()) !== 'redis'; i += 1) await sleep(50);
    expect(await decided()).toBe('redis');
  });
});

describe('list', () => {
  it('filters by usage as it was synchronised, by mode and by plan, page by page', async () => {
    const prefix = (await service.tenant()).id;
    const rows: [string, object, number][] = [
      ['a', { quotaMb: 1 }, MB],
      ['b', { quotaMb: 1, mode: 'shadow' }, MB + 1],
      ['c', { plan: 'pro' }, 400 * MB],
      ['d', { quotaMb: 500 }, 400 * MB - 1],
    ];
    for (const [id, body, used] of rows) {
      await admin('PUT', `/${prefix}${id}`, body);
      const reading = new Map([[prefix + id, used]]);
      await service.app.get(QuotaStore).recordUsage([...reading.keys()], async () => reading);
    }
    const listed = async (filter: string): Promise<string> => {
      let found = '';
      for (let after = prefix; ;) {
        const { status, json } = await admin('GET', `?${filter}&limit=1&after=${after}`);
        expect(status).toBe(200);
        const items = json['items'] as { tenantId: string }[];
        for (const { tenantId } of items.filter((item) => item.tenantId.startsWith(prefix))) {
          found += tenantId.slice(prefix.length);
        }
        const next = json['next'] as string | null;
        if (next === null) return found;
        after = next;
      }
    };
    expect(await listed('over=true')).toBe('b');
    expect(await listed('near=80')).toBe('abc');
    expect(await listed('near=100')).toBe('ab');
    expect(await listed('mode=shadow')).toBe('b');
    expect(await listed('mode=null')).toBe('acd');
    expect(await listed('plan=pro')).toBe('c');
    expect(await listed('plan=pro&over=true')).toBe('');
    const { json } = await admin('GET', `?near=80&limit=1&after=${prefix}`);
    expect(json['items']).toEqual([expect.objectContaining({ syncedUsedBytes: MB, plan: null })]);
  });

  it.each(['over=yes', 'over=false', 'near=101', 'near=-1', 'near=1e1', 'mode=on', 'plan=gold'])(
    'answers %s with 400, saying what is allowed',
    async (filter) => {
      const { status, json } = await admin('GET', `?${filter}`);
      const where = filter.split('=')[0];
      const allowed = expect.stringMatching(/./) as string;
      expect([status, json['errors']]).toEqual([400, [{ where, allowed }]]);
    },
  );

  it('refuses parameters it does not know, and the same one twice', async () => {
    expect((await admin('GET', '?nearby=80')).status).toBe(400);
    expect((await admin('GET', '?near=80&near=90')).status).toBe(400);
  });
});

it('tells who changed a quota, from, to and when, in pages, also once it is deleted', async () => {
  const { id } = await service.tenant();
  await admin('PUT', `/${id}`, { plan: 'starter' });
  await admin('PUT', `/${id}`, { quotaMb: 7 });
  expect((await admin('DELETE', `/${id}`)).status).toBe(204);
  const starter = { quotaMb: 100, overageAllowed: true, overageLimitMb: 10, mode: null };
  const changedAt = expect.stringMatching(/^20.*Z$/) as string;
  const stamp = expect.any(Number) as number;
  const about = { stamp, changedBy: 'admin', changedAt };
  const [first, second] = [
    { ...starter, version: 1 },
    { ...starter, quotaMb: 7, version: 2 },
  ];
  const { json } = await admin('GET', `/${id}/changes?limit=2`);
  expect(json['items']).toEqual([
    { ...about, action: 'delete', before: second, after: null },
    { ...about, action: 'update', before: first, after: second },
  ]);
  const rest = await admin('GET', `/${id}/changes?before=${String(json['next'])}`);
  const created = { ...about, action: 'create', before: null, after: first };
  expect(rest.json).toEqual({ items: [created], next: null });
  expect((await admin('GET', `/${id}/changes?before=x`)).status).toBe(400);
  expect((await admin('GET', `/${id}/changes?limit=101`)).status).toBe(400);
});

describe('every route under /admin of the OpenAPI document', () => {
  it('answers 401 to nobody and to a wrong token, and 403 to a tenant', async () => {
    const document = (await answer(await service.fetch('/openapi.json'))).json;
    const paths = document['paths'] as Record<string, Record<string, unknown>>;
    const routes = Object.entries(paths)
      .filter(([path]) => path.startsWith('/admin'))
      .flatMap(([path, methods]) => Object.keys(methods).map((method) => [method, path] as const));
    // Those of this file, and those of the rollout.
    expect(routes.length).toBeGreaterThanOrEqual(13);
    for (const [method, path] of routes) {
      const url = path.replaceAll(/\{\w+\}/g, 'somebody');
      const as = async (headers: Record<string, string>): Promise<unknown[]> => {
        const given = await answer(
          await service.fetch(url, { method: method.toUpperCase(), headers }),
        );
        return [method, path, given.status, given.json['error']];
      };
      expect(await as({})).toEqual([method, path, 401, 'unauthorized']);
      expect(await as({ Authorization: 'Bearer wrong' })).toEqual([
        ...[method, path, 401, 'unauthorized'],
      ]);
      expect(await as({ 'X-Tenant-ID': 'somebody' })).toEqual([method, path, 403, 'forbidden']);
    }
  });
});
