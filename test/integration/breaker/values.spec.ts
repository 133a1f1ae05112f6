import { QuotaObserver, type QuotaEvents } from '@app/quota';
import { DataSource } from 'typeorm';
import { ValueDatabase } from '../../../src/cache/value-database';
import { Service } from '../../e2e/support/service';
import { Servers } from '../../e2e/support/stacks';
import { startLoad, startStallMeter, waitUntil } from '../../support';
import { pause, serverTimes } from './outage';

/** No answer leaves later, but for the time that this process itself stood still. */
const LATEST_MS = 500;

let servers: Servers;
let service: Service;

beforeEach(async () => {
  servers = await Servers.start();
  const settings = await servers.settings({ adapter: 'express', stores: 'postgres' });
  const own = { QUOTA_CACHE_TTL_SECONDS: '1', QUOTA_DRAIN_SECONDS: '0' };
  service = await Service.start({ ...settings, ...own });
});
afterEach(async () => {
  await service.stop();
  await servers.stop();
});

/** One request of those that a tenant sends, of a small value. @returns what was asked and its status */
async function request(n: number): Promise<string> {
  const tenant = `t-${String(n % 30)}`;
  const path = `/cache/k${String(n % 40)}`;
  const routes: ({ method: string; path: string } & RequestInit)[] = [
    { method: 'PUT', path, body: 'x'.repeat(65_536) },
    { method: 'PUT', path, body: 'y'.repeat(50) },
    { method: 'GET', path },
    { method: 'DELETE', path },
    { method: 'GET', path: '/quota' },
  ];
  const { path: to, ...init } = routes[n % routes.length]!;
  const response = await service.fetch(to, { ...init, headers: { 'X-Tenant-ID': tenant } });
  await response.arrayBuffer();
  return `${init.method}${to === '/quota' ? ' quota' : ''} ${String(response.status)}`;
}

interface Figures {
  /** Of all requests, less the worst stall. */
  readonly latestMs: number;
  /** What was answered while the fault lasted, and how often. */
  readonly during: Record<string, number>;
  readonly states: QuotaEvents['store'][];
}

interface Fault {
  readonly begin: () => unknown;
  readonly end: () => unknown;
}

async function underFault(name: string, fault: Fault): Promise<Figures> {
  // The first requests of a process take long by themselves.
  for (let n = 0; n < 150; n += 1) await request(n);
  const states: QuotaEvents['store'][] = [];
  service.app.get(QuotaObserver).on('store', (event) => states.push(event));
  const took = serverTimes(service.app.getHttpServer());
  const during: Record<string, number> = {};
  let lasts = false;
  const stop = startLoad(4, async (n) => {
    const counts = lasts;
    const what = await request(n);
    if (counts && lasts) during[what] = (during[what] ?? 0) + 1;
  });
  const stall = startStallMeter();
  await pause(500);
  await fault.begin();
  lasts = true;
  await pause(2_000);
  lasts = false;
  await fault.end();
  await pause(300);
  const stallMs = stall();
  const samples = await stop();
  const slowestMs = Math.max(...took);
  if (process.env['QUOTA_FIGURES'] !== undefined) {
    const changes = states.map(({ store, state, cause }) => `${store} ${state} ${cause ?? ''}`);
    const figures = { name, slowestMs, stallMs, all: samples.length, during, changes };
    process.stderr.write(`${JSON.stringify(figures)}\n`);
  }
  expect(samples.filter(({ error }) => error !== undefined)).toEqual([]);
  return { latestMs: slowestMs - stallMs, during, states };
}

async function comesBack(): Promise<void> {
  await waitUntil(async () => (await request(1)) !== 'PUT 503', { timeoutMs: 10_000 });
  const statuses = new Set<string>();
  for (let n = 0; n < 10; n += 1) statuses.add((await request(n)).split(' ').at(-1) ?? '');
  expect([...statuses].filter((status) => status >= '500')).toEqual([]);
}

it.each<[string, Fault]>([
  ['paused', { begin: () => servers.postgres.pause(), end: () => servers.postgres.resume() }],
  [
    'stopped at once',
    { begin: () => servers.postgres.kill('SIGQUIT'), end: () => servers.postgres.restart() },
  ],
])('PostgreSQL %s: nobody waits for a small value', async (name, fault) => {
  const { latestMs, during, states } = await underFault(`PostgreSQL ${name}`, fault);
  expect(latestMs).toBeLessThanOrEqual(LATEST_MS);
  expect(during['PUT 503']).toBeGreaterThan(0);
  expect(during['GET 503']).toBeGreaterThan(0);
  expect(during['DELETE 503']).toBeGreaterThan(0);
  // What is used is in Redis, and the quota is known.
  expect(during['GET quota 200']).toBeGreaterThan(0);
  expect(states).toContainEqual(expect.objectContaining({ store: 'postgres', state: 'open' }));
  await comesBack();
});

/** Takes all connections of a pool, for so long. */
function occupy(dataSource: DataSource, connections: number, seconds: number): Promise<unknown> {
  const sleep = (): Promise<unknown> => dataSource.query('SELECT pg_sleep($1)', [seconds]);
  return Promise.all(Array.from({ length: connections }, sleep));
}

it('the pool of the values full: sheds, and leaves the quotas alone', async () => {
  const { dataSource } = service.app.get(ValueDatabase);
  let busy: Promise<unknown> = Promise.resolve();
  const { latestMs, during, states } = await underFault('values full', {
    begin: () => void (busy = occupy(dataSource, 6, 2.5)),
    end: () => busy,
  });
  expect(latestMs).toBeLessThanOrEqual(LATEST_MS);
  expect(during['PUT 503']).toBeGreaterThan(0);
  expect(during['PUT 200'] ?? 0).toBe(0);
  expect(during['GET quota 200']).toBeGreaterThan(0);
  expect(during['GET quota 503'] ?? 0).toBe(0);
  expect(states).toEqual([]);
  await comesBack();
});

it('the pool of the quotas full: the values go on', async () => {
  let busy: Promise<unknown> = Promise.resolve();
  const { latestMs, during } = await underFault('quotas full', {
    begin: () => void (busy = occupy(service.app.get(DataSource), 8, 2.5)),
    end: () => busy,
  });
  expect(latestMs).toBeLessThanOrEqual(LATEST_MS);
  expect(during['GET quota 200']).toBeGreaterThan(0);
  await comesBack();
});

it('Redis paused: PostgreSQL decides under load', async () => {
  const { latestMs, during } = await underFault('Redis paused', {
    begin: () => servers.redis.pause(),
    end: () => servers.redis.resume(),
  });
  const stored = (during['PUT 200'] ?? 0) + (during['PUT 201'] ?? 0);
  expect(latestMs).toBeLessThanOrEqual(LATEST_MS);
  expect(stored).toBeGreaterThan(during['PUT 503'] ?? 0);
});

it('Redis paused: the first write is decided, and not only those after the breaker is open', async () => {
  for (let n = 0; n < 150; n += 1) await request(n);
  servers.redis.pause();
  expect(await request(1)).toBe('PUT 200');
  servers.redis.resume();
});
