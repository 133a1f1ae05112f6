import { QuotaObserver } from '@app/quota';
import { Service } from '../../e2e/support/service';
import { Servers } from '../../e2e/support/stacks';
import { startLoad, startStallMeter } from '../../support';
import { pause, serverTimes } from './outage';

/** No answer leaves later, but for the time that this process itself stood still. */
const LATEST_MS = 500;

/** Failures that a request survives, or that are of no request; docs/http-api.md names them. */
const SURVIVED = new Set([
  ...['config_shared', 'config_load', 'config_announce', 'standing', 'release', 'settle'],
  // Redis that was started again is another server.
  ...['sweep', 'usage_sync', 'reconcile', 'ledger', 'fold', 'grant-lower', 'rebuild'],
]);

let servers: Servers;
let service: Service;
let settings: Record<string, string>;

beforeAll(async () => {
  servers = await Servers.start();
  settings = await servers.settings({ adapter: 'express', stores: 'redis' });
});
afterAll(() => servers.stop());
beforeEach(async () => {
  const own = { QUOTA_CACHE_TTL_SECONDS: '1', QUOTA_DRAIN_SECONDS: '0' };
  service = await Service.start({ ...settings, ...own });
});
afterEach(() => service.stop());

/** One request of those that a tenant sends. @returns its status */
async function request(n: number): Promise<number> {
  const tenant = `t-${String(n % 60)}`;
  const key = `k${String(n % 40)}`;
  const routes = [
    { method: 'PUT', path: `/cache/${key}`, body: 'x'.repeat(100) },
    { method: 'PUT', path: `/cache/${key}`, body: 'y'.repeat(50) },
    { method: 'GET', path: `/cache/${key}` },
    { method: 'DELETE', path: `/cache/${key}` },
    { method: 'GET', path: '/quota' },
  ];
  const { path, ...init } = routes[n % routes.length] ?? { path: '/quota' };
  const response = await service.fetch(path, { ...init, headers: { 'X-Tenant-ID': tenant } });
  await response.arrayBuffer();
  return response.status;
}

const faults: Record<string, { begin: () => unknown; end: () => unknown }> = {
  'Redis killed': { begin: () => servers.redis.kill(), end: () => servers.redis.restart() },
  'Redis paused': { begin: () => servers.redis.pause(), end: () => servers.redis.resume() },
  'both paused': {
    begin: () => {
      servers.postgres.pause();
      servers.redis.pause();
    },
    end: () => {
      servers.postgres.resume();
      servers.redis.resume();
    },
  },
};

it.each(Object.entries(faults))(
  '%s: every answer is in time, and every 503 is counted, once',
  async (name, { begin, end }) => {
    // The first requests of a process take long by themselves.
    for (let n = 0; n < 100; n += 1) await request(n);
    const counted = new Map<string, number>();
    service.app.get(QuotaObserver).on('error', ({ operation }) => {
      counted.set(operation, (counted.get(operation) ?? 0) + 1);
    });
    const statuses = new Map<number, number>();
    const took = serverTimes(service.app.getHttpServer());
    const stop = startLoad(10, async (n) => {
      const status = await request(n);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    });
    const stall = startStallMeter();
    await pause(500);
    await begin();
    await pause(2_000);
    await end();
    await pause(300);
    const stallMs = stall();
    const samples = await stop();
    const slowestMs = Math.max(...took);
    const figures = {
      name,
      slowestMs,
      stallMs,
      ...Object.fromEntries([...statuses, ...counted]),
    };
    if (process.env['QUOTA_FIGURES'] !== undefined) {
      process.stderr.write(`${JSON.stringify(figures)}\n`);
    }
    expect(samples.filter(({ error }) => error !== undefined)).toEqual([]);
    expect(slowestMs - stallMs).toBeLessThanOrEqual(LATEST_MS);
    const own = [...counted].filter(([operation]) => !SURVIVED.has(operation));
    const failures = own.reduce((sum, [, count]) => sum + count, 0);
    expect(failures).toBeGreaterThan(0);
    expect({ failures, statuses: [...statuses.keys()].filter((s) => s >= 500) }).toEqual({
      failures: statuses.get(503),
      statuses: [503],
    });
  },
);
