import { readFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { QuotaChange } from '@app/quota';
import { DataSource } from 'typeorm';
import { freePort, waitUntil } from '../support';
import { runWith, type End } from './support/command-line';
import { ADMIN_TOKEN, MB, Service, type Tenant } from './support/service';
import { Servers } from './support/stacks';

jest.setTimeout(60_000);

let servers: Servers;
let settings: Record<string, string>;
let services: Service[];
let database: DataSource;

beforeAll(async () => {
  servers = await Servers.start();
  settings = await servers.settings({ adapter: 'express', stores: 'redis' });
  // Long, so that only word of a change makes it hold at once.
  const more = { QUOTA_CACHE_TTL_SECONDS: '3600', QUOTA_ROLLOUT_REFRESH_SECONDS: '3600' };
  const all = { ...settings, ...more, QUOTA_USAGE_FLUSH_SECONDS: '1' };
  services = [await Service.start(all), await Service.start(all)];
  const url = settings['DATABASE_URL']!;
  database = await new DataSource({ type: 'postgres', url, entities: [QuotaChange] }).initialize();
});
afterAll(async () => {
  await database.destroy();
  await Promise.all(services.map((service) => service.stop()));
  await servers.stop();
});

/** By the service's variables; there is no token, and the URL leads nowhere. */
const quota = (...args: string[]): Promise<End> =>
  runWith({ ...settings, QUOTA_URL: 'http://127.0.0.1:1' }, ['--stores', ...args]);

async function json(...args: string[]): Promise<unknown> {
  const { code, out, err } = await quota('--json', ...args);
  expect([code, err]).toEqual([0, '']);
  return JSON.parse(out) as unknown;
}

async function overApi(...args: string[]): Promise<unknown> {
  const { code, out, err } = await runWith({ ADMIN_TOKEN }, [
    ...['--url', services[0]!.url, '--json'],
    ...args,
  ]);
  expect([code, err]).toEqual([0, '']);
  return JSON.parse(out) as unknown;
}

/** Every command of the documentation that names the stores, in its order. */
const DOCUMENTED = [
  ...readFileSync('docs/command-line.md', 'utf8').matchAll(
    /^npm run quota -- (--(?:stores|redis).*)$/gm,
  ),
].map(([, line]) => line!.trim());

it('does all that its documentation shows', async () => {
  expect(DOCUMENTED.length).toBeGreaterThan(13);
  for (const line of DOCUMENTED) {
    const args = line
      .replace('redis://127.0.0.1:6379', settings['REDIS_URL']!)
      .replace('postgres://quota:quota@127.0.0.1:5432/quota', settings['DATABASE_URL']!)
      .split(' ');
    const { code, out, err } = await runWith(line.startsWith('--stores') ? settings : {}, args);
    expect([line, code, err]).toEqual([line, 0, '']);
    if (!line.includes(' usage ')) expect(out).not.toBe('');
  }
  const [last] = await changesOf('acme');
  expect(last).toMatchObject({ actor: 'cli:maria', after: { mode: 'shadow', quota_mb: 500 } });
});

function changesOf(tenantId: string): Promise<QuotaChange[]> {
  return database.getRepository(QuotaChange).find({ where: { tenantId }, order: { id: 'DESC' } });
}

it('changes a quota on all running instances at once, and says who did', async () => {
  const tenant = await services[0]!.tenant({ quotaMb: 1 });
  const everywhere: Tenant[] = services.map((service) => tenant.at(service));
  for (const at of everywhere) expect(await limitAt(at)).toBe(MB);
  for (const limit of [7, 3, 5]) {
    await quota('set', tenant.id, '--limit', String(limit));
    for (const at of everywhere) expect(await limitAt(at)).toBe(limit * MB);
  }
  expect((await tenant.put('a', 4 * MB)).status).toBe(201);
  await quota('set', tenant.id, '--limit', '4');
  expect((await everywhere[1]!.put('b', 1)).status).toBe(429);
  const [last, , , , first] = await changesOf(tenant.id);
  expect(first).toMatchObject({ actor: 'admin', action: 'create' });
  expect(last).toMatchObject({
    ...{ actor: `cli:${userInfo().username}@${hostname()}`, action: 'update' },
    ...{ before: { quota_mb: 5 }, after: { quota_mb: 4 } },
  });
});

async function limitAt(tenant: Tenant): Promise<number> {
  return (await tenant.standing()).quotaBytes;
}

it('changes the rollout on all running instances at once', async () => {
  const tenant = await services[0]!.tenant({ quotaMb: 1 });
  const modes = (): Promise<string[]> =>
    Promise.all(services.map(async (service) => (await tenant.at(service).standing()).mode));
  expect(await json('rollout', 'shadow')).toMatchObject({
    ...{ enabled: true, logOnly: true, percent: null, tenants: null, mode: 'shadow' },
    ...{ killSwitch: null, sources: { logOnly: 'runtime', percent: 'environment' } },
  });
  expect(await modes()).toEqual(['shadow', 'shadow']);
  await quota('rollout', 'tenants', tenant.id);
  expect(await modes()).toEqual(['enforce', 'enforce']);
  await quota('rollout', 'off');
  expect(await modes()).toEqual(['off', 'off']);
  const { out } = await quota('rollout', 'reset');
  expect(out).toMatch(/enabled +as the environment of each instance says \(environment\)/);
  expect(await modes()).toEqual(['enforce', 'enforce']);
  expect(await overApi('rollout')).toMatchObject({
    changedBy: `cli:${userInfo().username}@${hostname()}`,
  });
});

it('answers as the service does', async () => {
  const tenant = await services[0]!.tenant({ quotaMb: 10, overageAllowed: true });
  await tenant.put('a', 9 * MB);
  expect((await tenant.put('b', 30 * MB)).status).toBe(413);
  const tenants = ['--from', '2020-01-01', '--to', '2020-02-01'];
  await waitUntil(async () => {
    const seen = (await json('simulate', '--limit', '2', '--tenant', tenant.id)) as {
      summary: { refusals: number };
    };
    return seen.summary.refusals > 0;
  });
  for (const args of [
    ['get', tenant.id],
    ['list'],
    ['list', '--near', '0', '--max', '1'],
    ['rollout', 'history'],
    ['usage', tenant.id, ...tenants],
  ]) {
    expect([args, await json(...args)]).toEqual([args, await overApi(...args)]);
  }
  // But for the moment that they were asked at.
  const timeless = (answer: unknown): object => {
    const { record, ...rest } = answer as { record: { since: string; until: string } };
    return { ...rest, record: { ...record, since: '', until: '' } };
  };
  for (const args of [
    ['simulate', '--limit', '2', '--overage', '1', '--tenant', tenant.id],
    ['rollout', 'impact', '--since', '24h'],
  ]) {
    expect(timeless(await json(...args))).toEqual(timeless(await overApi(...args)));
  }
  const today = new Date().toISOString().slice(0, 10);
  await waitUntil(async () => (await csv(today)).includes(tenant.id), { timeoutMs: 20_000 });
  const { out } = await runWith({ ADMIN_TOKEN }, [
    ...['--url', services[0]!.url, 'usage', tenant.id, '--from', today, '--to', today, '--csv'],
  ]);
  const { out: same } = await quota('usage', tenant.id, '--from', today, '--to', today, '--csv');
  expect(same).toBe(out);
});

async function csv(day: string): Promise<string> {
  return (await quota('usage', '--from', day, '--to', day, '--csv')).out;
}

it('counts the ledger anew', async () => {
  const tenant = await services[0]!.tenant({ quotaMb: 10 });
  await tenant.put('a', 5);
  expect(await json('reconcile', tenant.id, '--ledger')).toMatchObject([
    { tenantId: tenant.id, driftBytes: 0, usedBytes: 5 },
  ]);
});

it('ends with 7, having changed nothing, where only a running service can', async () => {
  const tenant = await services[0]!.tenant({ quotaMb: 10 });
  await tenant.put('a', 5);
  for (const args of [
    ['explain', tenant.id],
    ['evict', tenant.id, '--all'],
    ['reconcile', tenant.id],
    ['reconcile', '--all'],
  ]) {
    const { code, out, err } = await quota(...args);
    expect([args, code, out]).toEqual([args, 7, '']);
    expect(err).toContain('Not without a running service.');
  }
  expect(await tenant.used()).toBe(5);
});

it('changes nothing when somebody else was faster', async () => {
  const tenant = await services[0]!.tenant({ quotaMb: 10 });
  expect((await quota('set', tenant.id, '--limit', '11')).code).toBe(0);
  const { code, err } = await quota('set', tenant.id, '--limit', '12', '--expect', '1');
  expect(code).toBe(4);
  expect(err).toContain('version 2');
  expect(await json('get', tenant.id)).toMatchObject({ quotaMb: 11, version: 2 });
});

it('takes options before variables, each for itself', async () => {
  await quota('set', 'chosen', '--limit', '3');
  const { REDIS_URL, DATABASE_URL } = settings as Record<'REDIS_URL' | 'DATABASE_URL', string>;
  const elsewhere = await servers.postgres.createDatabase();
  const found = await runWith({ ...settings, DATABASE_URL: elsewhere }, [
    ...['--postgres', DATABASE_URL, 'get', 'chosen'],
  ]);
  expect(found).toMatchObject({ code: 0, err: '' });
  const noRedis = { ...settings, REDIS_URL: `redis://127.0.0.1:${await freePort()}` };
  const other = await runWith(noRedis, ['--redis', REDIS_URL, 'set', 'chosen', '--limit', '4']);
  expect(other).toMatchObject({ code: 0, err: '' });
  const prefixed = await quota('--redis-prefix', 'other', '--json', 'get', 'chosen');
  expect(JSON.parse(prefixed.out)).toMatchObject({ usage: { usedBytes: 0 } });
  // The variables alone do not turn it away from the service.
  expect((await runWith(settings, ['list'])).err).toContain('127.0.0.1:3000');
});

it('changes no quota without a Redis that can tell of it, but the rollout', async () => {
  const tenant = await services[0]!.tenant({ quotaMb: 10 });
  const { DATABASE_URL } = settings as Record<'DATABASE_URL', string>;
  const unnamed = { DATABASE_URL };
  const away = { DATABASE_URL, REDIS_URL: `redis://127.0.0.1:${await freePort()}` };
  for (const [env, code] of [
    [unnamed, 2],
    [away, 6],
  ] as const) {
    const set = await runWith(env, ['--stores', 'set', tenant.id, '--limit', '11']);
    expect(set).toMatchObject({ code, out: '' });
    expect(set.err).toContain('Running instances hear of a change through Redis');
    const ledger = await runWith(env, ['--stores', 'reconcile', tenant.id, '--ledger']);
    expect(ledger.code).toBe(code);
    const got = await runWith(env, ['--stores', '--json', 'get', tenant.id]);
    expect(JSON.parse(got.out)).toMatchObject({ quotaMb: 10, usage: null });
    const rollout = await runWith(env, ['--stores', 'rollout', 'percent', '100']);
    expect(rollout.code).toBe(0);
    expect(rollout.err).toContain('next look at the table');
  }
  await quota('rollout', 'reset');
});

it.each([
  ['no PostgreSQL named', {}, ['--stores', 'list'], 2, 'DATABASE_URL'],
  ['a PostgreSQL that is none', {}, ['--postgres', 'http://x', 'list'], 2, 'postgres://'],
  ['both at once', {}, ['--stores', '--url', 'http://127.0.0.1:3000', 'list'], 2, 'Say which'],
  ['--as to the service', {}, ['--as', 'me', 'list'], 2, 'go with the stores'],
  ['--ledger to the service', {}, ['reconcile', 'acme', '--ledger'], 2, '--stores'],
])('ends with 2 for %s', async (_what, env, args, code, says) => {
  const end = await runWith(env, args);
  expect([end.code, end.out]).toEqual([code, '']);
  expect(end.err).toContain(says);
});

it('says what is wrong with the stores, and shows no password', async () => {
  const port = await freePort();
  const away = await runWith({}, ['--postgres', `postgres://u:hush@127.0.0.1:${port}/q`, 'list']);
  expect(away).toMatchObject({ code: 6, out: '' });
  expect(away.err).toContain('PostgreSQL cannot be used: connect ECONNREFUSED');
  const wrong = await runWith(settings, ['--redis', 'redis-cluster://u:hush@x/1', 'list']);
  expect(wrong.code).toBe(2);
  const bad = await quota('--redis-prefix', '{', 'list');
  expect(bad.code).toBe(2);
  expect(bad.err).toContain('redisPrefix');
  const empty = await servers.postgres.createDatabase();
  const tableless = await runWith({ DATABASE_URL: empty }, ['--stores', 'list']);
  expect(tableless.code).toBe(6);
  expect(tableless.err).toContain('relation "tenant_cache_quotas" does not exist');
  expect((await quota('get', 'nobody')).code).toBe(3);
  expect((await quota('get', 'a b')).code).toBe(2);
  expect((await quota('usage', '--from', 'x', '--to', 'y')).err).toContain('YYYY-MM-DD');
  expect((await quota('simulate', '--since', 'long')).err).toContain('a time span');
  for (const { err } of [away, wrong]) expect(err).not.toContain('hush');
});
