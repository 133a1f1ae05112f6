import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { TenantCacheQuota } from '@app/quota';
import type { DataSource } from 'typeorm';
import { createDataSource } from '../../src/database/data-source';
import { audit } from '../integration/redis/auditor';
import { waitUntil } from '../support';
import { ADMIN_TOKEN, answer, bytes, type Answer } from './support/service';
import { Servers } from './support/stacks';

const KB = 1_024;
const CHILD = join(__dirname, 'support/service-child.cjs');

/** The service in a process of its own. */
class Process {
  private output = '';
  readonly ended: Promise<unknown[]>;

  private constructor(private readonly child: ChildProcess) {
    child.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.ended = once(child, 'exit');
  }

  static async start(settings: Record<string, string>): Promise<Process> {
    const env = { ...settings, NODE_ENV: 'test', LOG_LEVEL: 'warn', ADMIN_TOKEN };
    const child = spawn(process.execPath, [CHILD], {
      env: { PATH: String(process.env['PATH']), ...env, QUOTA_ENFORCEMENT_ENABLED: 'true' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const started = new Process(child);
    await started.says(/^listening (\S+)$/m);
    return started;
  }

  get url(): string {
    return /^listening (\S+)$/m.exec(this.output)?.[1] ?? '';
  }

  count(pattern: RegExp): number {
    return [...this.output.matchAll(pattern)].length;
  }

  async says(pattern: RegExp): Promise<void> {
    await waitUntil(
      () => {
        if (this.child.exitCode !== null) throw new Error(`It ended: ${this.output}`);
        return pattern.test(this.output);
      },
      { timeoutMs: 30_000, what: () => `${String(pattern)} in ${this.output}` },
    );
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async request(method: string, path: string, body?: Uint8Array | string): Promise<Answer> {
    const headers = { 'X-Tenant-ID': 'acme', Authorization: `Bearer ${ADMIN_TOKEN}` };
    const init = { method, headers, ...(body !== undefined && { body }) };
    return answer(await fetch(`${this.url}${path}`, init));
  }

  /** Its exit code and signal. */
  async end(): Promise<unknown[]> {
    return this.ended;
  }

  kill(): void {
    if (this.child.exitCode === null) this.child.kill('SIGKILL');
  }
}

describe('SIGTERM', () => {
  let servers: Servers;
  let database: DataSource;
  let settings: Record<string, string>;
  const running: Process[] = [];

  beforeAll(async () => {
    servers = await Servers.start();
    settings = await servers.settings({ adapter: 'express', stores: 'redis' });
    database = await createDataSource({
      databaseUrl: String(settings['DATABASE_URL']),
      dataDir: 'unused',
    });
  }, 60_000);

  afterEach(() => {
    for (const child of running.splice(0)) child.kill();
  });

  afterAll(async () => {
    await database.destroy();
    await servers.stop();
  });

  it.each(['express', 'fastify'])(
    'on %s lets what is under way end, refuses what is new, and leaves the books in order',
    async (adapter) => {
      const service = await Process.start({ ...settings, HTTP_ADAPTER: adapter });
      running.push(service);
      await service.request('PUT', '/admin/quotas/acme', JSON.stringify({ quotaMb: 50 }));
      expect((await service.request('PUT', '/cache/kept', bytes(100 * KB))).status).toBeLessThan(
        202,
      );

      const underWay = Array.from({ length: 8 }, (_, i) =>
        service.request('PUT', `/probe/${adapter}-${String(i)}?ms=1500`, bytes(10 * KB)),
      );
      await waitUntil(() => service.count(/^holding/gm) === 8, { timeoutMs: 10_000 });
      service.signal('SIGTERM');
      const refusals: Answer[] = [];
      await waitUntil(
        async () => {
          const given = await service.request('PUT', '/cache/new', bytes(KB));
          if (given.status === 503) refusals.push(given);
          return refusals.length > 0;
        },
        { timeoutMs: 1_400 },
      );
      const { headers, json } = refusals[0]!;
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
      expect(headers.get('connection')).toBe('close');
      expect(json).toMatchObject({ status: 503, error: 'quota_unavailable' });

      for (const given of await Promise.all(underWay)) expect(given.status).toBe(200);
      expect(await service.end()).toEqual([0, null]);

      const books = await audit(servers.redis.client(), 'acme');
      expect(books).toMatchObject({ reserved: 0, trueReserved: 0, open: 0 });
      expect(books.committed).toBe(books.trueCommitted);
      expect(books.committed).toBeGreaterThanOrEqual((100 + 8 * 10) * KB);
      const row = await database
        .getRepository(TenantCacheQuota)
        .findOneByOrFail({ tenantId: 'acme' });
      expect(row.currentUsageBytes).toBe(books.committed);
    },
    60_000,
  );

  it('ends also when Redis is gone', async () => {
    const { redis } = servers;
    const service = await Process.start(settings);
    running.push(service);
    await service.request('PUT', '/cache/kept', bytes(KB));
    await redis.kill();
    service.signal('SIGTERM');
    expect(await service.end()).toEqual([0, null]);
    await redis.restart();
  }, 60_000);
});
