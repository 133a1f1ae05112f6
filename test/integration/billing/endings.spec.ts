import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { DataSource } from 'typeorm';
import { ADMIN_TOKEN, Service, type Tenant } from '../../e2e/support/service';
import { Servers } from '../../e2e/support/stacks';
import { waitUntil } from '../../support';
import { flush, metricsOf, usageOf } from './reports';

const KB = 1_024;
const CHILD = join(__dirname, '../../e2e/support/service-child.cjs');

let servers: Servers;
let settings: Record<string, string>;
let survivor: Service;
const children: ChildProcess[] = [];

beforeAll(async () => {
  servers = await Servers.start();
  settings = await servers.settings({ adapter: 'express', stores: 'redis' });
  survivor = await Service.start({ ...settings, QUOTA_USAGE_FLUSH_SECONDS: '3600' });
}, 60_000);

afterEach(() => {
  for (const child of children.splice(0)) if (child.exitCode === null) child.kill('SIGKILL');
});

afterAll(async () => {
  await survivor.stop();
  await servers.stop();
}, 60_000);

/** An instance in a process of its own. */
async function instance(
  more: Record<string, string>,
): Promise<{ child: ChildProcess; at: (tenant: Tenant) => Tenant }> {
  const child = spawn(process.execPath, [CHILD], {
    env: {
      ...{ PATH: String(process.env['PATH']), NODE_ENV: 'test', LOG_LEVEL: 'warn', ADMIN_TOKEN },
      ...{ ...settings, QUOTA_ENFORCEMENT_ENABLED: 'true', ...more },
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await waitUntil(() => /^listening \S+$/m.test(output), {
    timeoutMs: 30_000,
    what: () => output,
  });
  const url = /^listening (\S+)$/m.exec(output)![1]!;
  const service = {
    fetch: (path: string, init?: RequestInit) => fetch(`${url}${path}`, init),
  } as unknown as Service;
  return { child, at: (tenant) => tenant.at(service) };
}

describe('a process that is killed', () => {
  it('in the middle of writing its counts loses none of them, and doubles none', async () => {
    const database = survivor.app.get(DataSource);
    const tenant = await survivor.tenant({ quotaMb: 50 });
    const { child, at } = await instance({ QUOTA_USAGE_FLUSH_SECONDS: '1' });
    const there = at(tenant);
    for (let i = 0; i < 20; i += 1) {
      expect((await there.putUntilDecided(`k${String(i)}`, KB)).status).toBe(201);
    }
    const written = async (): Promise<number> => (await usageOf(survivor, tenant.id))?.writes ?? 0;
    await waitUntil(async () => (await written()) === 20);
    // From here on its counts come as far as the server, and wait.
    const blocker = database.createQueryRunner();
    await blocker.startTransaction();
    await blocker.query('SELECT 1 FROM quota_usage_samples WHERE tenant_id = $1 FOR UPDATE', [
      tenant.id,
    ]);
    for (let i = 0; i < 7; i += 1) {
      expect((await there.putUntilDecided(`l${String(i)}`, KB)).status).toBe(201);
    }
    const writing = (): Promise<{ event: string | null }[]> =>
      database.query(
        `SELECT wait_event_type AS event FROM pg_stat_activity
         WHERE query LIKE '%INTO quota_usage_samples AS s%' AND state = 'active'
           AND pid <> pg_backend_pid()`,
      );
    await waitUntil(async () => (await writing())[0]?.event === 'Lock');
    child.kill('SIGKILL');
    await once(child, 'exit');
    await blocker.rollbackTransaction();
    await blocker.release();
    await waitUntil(async () => (await writing()).length === 0);
    // What it had sent is written; what was counted after that, which is the last interval, is lost.
    const left = await written();
    expect(left).toBeGreaterThan(20);
    expect(left).toBeLessThanOrEqual(27);
    // Whoever is alive counts on from there.
    for (let i = 0; i < 5; i += 1) await tenant.putUntilDecided(`m${String(i)}`, KB);
    await flush(survivor);
    expect(await written()).toBe(left + 5);
  }, 60_000);

  it('with counts that it never sent loses these, and nothing else', async () => {
    const tenant = await survivor.tenant();
    const { child, at } = await instance({ QUOTA_USAGE_FLUSH_SECONDS: '3600' });
    expect((await at(tenant).putUntilDecided('a', KB)).status).toBe(201);
    expect((await tenant.putUntilDecided('b', KB)).status).toBe(201);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await flush(survivor);
    expect(await usageOf(survivor, tenant.id)).toMatchObject({ writes: 1, peakBytes: 2 * KB });
  }, 60_000);
});

describe('a process that ends in order', () => {
  it('on SIGTERM writes all that it has counted', async () => {
    const tenant = await survivor.tenant();
    const { child, at } = await instance({ QUOTA_USAGE_FLUSH_SECONDS: '3600' });
    const there = at(tenant);
    for (let i = 0; i < 4; i += 1) await there.putUntilDecided(`k${String(i)}`, KB);
    await (await there.get('k0')).arrayBuffer();
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
    expect(await usageOf(survivor, tenant.id)).toMatchObject({ writes: 4 });
    expect(await metricsOf(survivor, tenant.id)).toMatchObject({
      ...{ totalRequests: 5, cacheHits: 1, totalBytesServed: KB },
    });
  }, 60_000);

  it.each(['express', 'fastify'])(
    'counts the answers of %s that end after the shutdown began',
    async (adapter) => {
      const tenant = await survivor.tenant();
      const service = await Service.start({ ...settings, HTTP_ADAPTER: adapter });
      expect((await tenant.at(service).putUntilDecided('k', KB)).status).toBe(201);
      // Its body is wanted, and does not come yet.
      const upload = request(`${service.url}/cache/late`, {
        method: 'PUT',
        headers: { 'X-Tenant-ID': tenant.id, 'Content-Length': KB, Expect: '100-continue' },
      });
      const answered = once(upload, 'response');
      upload.flushHeaders();
      await once(upload, 'continue');
      const stopped = service.stop();
      await waitUntil(async () => (await metricsOf(survivor, tenant.id))?.totalRequests === 1);
      upload.end(Buffer.alloc(KB));
      const [response] = (await answered) as [IncomingMessage];
      response.resume();
      expect(response.statusCode).toBe(503);
      await stopped;
      expect(await metricsOf(survivor, tenant.id)).toMatchObject({ totalRequests: 2 });
    },
    60_000,
  );
});
