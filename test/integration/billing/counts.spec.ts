import { PostgresUsageLog, QuotaUnavailableError } from '@app/quota';
import { DataSource } from 'typeorm';
import { MB, Service } from '../../e2e/support/service';
import { Servers } from '../../e2e/support/stacks';
import { waitUntil } from '../../support';
import {
  flush,
  metricsOf,
  read,
  report,
  usageOf,
  type CacheMetricsItem,
  type UsageItem,
} from './reports';

const KB = 1_024;

let servers: Servers;
let settings: Record<string, string>;
let one: Service;
let other: Service;
let database: DataSource;

beforeAll(async () => {
  servers = await Servers.start();
  settings = {
    ...(await servers.settings({ adapter: 'express', stores: 'redis' })),
    // The tests say when.
    QUOTA_USAGE_FLUSH_SECONDS: '3600',
    QUOTA_USAGE_SYNC_SECONDS: '86400',
  };
  one = await Service.start(settings);
  other = await Service.start({ ...settings, HTTP_ADAPTER: 'fastify' });
  database = one.app.get(DataSource);
}, 60_000);

afterAll(async () => {
  await Promise.all([one.stop(), other.stop()]);
  await servers.stop();
}, 60_000);

afterEach(() => jest.restoreAllMocks());

describe('two instances', () => {
  it('count writes, warnings and refusals together', async () => {
    const tenant = await one.tenant({ quotaMb: 1, overageAllowed: true, overageLimitMb: 1 });
    const there = tenant.at(other);
    const small = Array.from({ length: 20 }, (_, i) =>
      (i % 2 === 0 ? tenant : there).putUntilDecided(`small-${String(i)}`, KB),
    );
    for (const { status } of await Promise.all(small)) expect(status).toBe(201);
    for (const key of ['a', 'b', 'c', 'd']) {
      expect((await there.putUntilDecided(key, 300 * KB)).status).toBe(201);
    }
    expect((await tenant.putUntilDecided('more', MB)).status).toBe(429);
    expect((await there.putUntilDecided('more', MB)).status).toBe(429);
    // Larger than the whole limit: no refusal of a quota.
    expect((await tenant.putUntilDecided('huge', 3 * MB)).status).toBe(413);
    await flush(one, other);
    await flush(one, other);
    expect(await usageOf(other, tenant.id)).toMatchObject({
      ...{ writes: 24, warnings: 1, refusals: 2, shadowRefusals: 0 },
      peakBytes: 20 * KB + 1_200 * KB,
    });
  });

  it('tell what shadow mode would have refused', async () => {
    const tenant = await other.tenant({ quotaMb: 1, mode: 'shadow' });
    expect((await tenant.putUntilDecided('a', MB)).status).toBe(201);
    expect((await tenant.at(one).putUntilDecided('b', MB)).status).toBe(201);
    await flush(one, other);
    expect(await usageOf(one, tenant.id)).toMatchObject({
      ...{ writes: 2, refusals: 0, shadowRefusals: 1, peakBytes: 2 * MB },
    });
  });

  it('count requests to the cache together, the refused ones too', async () => {
    const tenant = await one.tenant({ quotaMb: 1 });
    const there = tenant.at(other);
    await tenant.putUntilDecided('k', 3 * KB);
    for (const view of [tenant, there, there]) {
      expect((await (await view.get('k')).arrayBuffer()).byteLength).toBe(3 * KB);
    }
    await (await tenant.get('absent')).text();
    await (await there.get('absent')).text();
    await there.request('HEAD', '/cache/k');
    expect((await there.putUntilDecided('too-much', MB)).status).toBe(429);
    await there.delete('k');
    let metrics: CacheMetricsItem | undefined;
    // An answer is over, for the server, a moment after the client has it.
    await waitUntil(
      async () => {
        await flush(one, other);
        metrics = await metricsOf(other, tenant.id);
        return metrics?.totalRequests === 9;
      },
      { what: () => JSON.stringify(metrics) },
    );
    expect(metrics).toMatchObject({ cacheHits: 4, cacheMisses: 2, totalBytesServed: 9 * KB });
    expect(metrics?.hitRate).toBe(0.666667);
    expect(metrics?.avgResponseTimeMs).toBeGreaterThan(0);
  });

  it('read what tenants hold, together and once', async () => {
    const tenant = await one.tenant({ quotaMb: 1 });
    await tenant.putUntilDecided('k', 10 * KB);
    const readAt = async (): Promise<number> => {
      const [row] = await database.query<{ at: string }[]>(
        'SELECT extract(epoch FROM read_at) AS at FROM quota_usage_meters WHERE tenant_id = $1',
        [tenant.id],
      );
      return Number(row?.at);
    };
    const goBack = (): Promise<unknown> =>
      database.query(
        `UPDATE quota_usage_meters SET read_at = read_at - interval '30 minutes'
         WHERE tenant_id = $1`,
        [tenant.id],
      );
    await read(one);
    await goBack();
    let began = await readAt();
    await read(one, other);
    const seconds = (await readAt()) - began;
    expect(seconds).toBeGreaterThanOrEqual(1_800);
    expect(await usageOf(one, tenant.id)).toMatchObject({
      ...{ byteSeconds: String(seconds * 10 * KB), peakBytes: 10 * KB, estimatedSeconds: 0 },
    });
    // A tenant that is gone from the ledger is read once more.
    await one.admin('DELETE', `/${tenant.id}`);
    await goBack();
    began = await readAt();
    await read(other, one);
    const more = (await readAt()) - began;
    expect((await usageOf(one, tenant.id))?.byteSeconds).toBe(String((seconds + more) * 10 * KB));
    await goBack();
    await read(one, other);
    expect((await usageOf(one, tenant.id))?.byteSeconds).toBe(String((seconds + more) * 10 * KB));
  });
});

describe('a batch', () => {
  it('whose answer was lost counts once', async () => {
    const tenant = await one.tenant();
    await tenant.putUntilDecided('a', KB);
    const real = PostgresUsageLog.prototype.addCounts;
    const lost = jest.spyOn(PostgresUsageLog.prototype, 'addCounts').mockImplementationOnce(
      // It is written, and nobody hears of it.
      async function (this: PostgresUsageLog, batch) {
        await real.call(this, batch);
        throw new QuotaUnavailableError('usage_counts', { applied: 'unknown' });
      },
    );
    await expect(flush(one)).rejects.toThrow(QuotaUnavailableError);
    expect(await usageOf(one, tenant.id)).toMatchObject({ writes: 1 });
    await tenant.putUntilDecided('b', KB);
    await flush(one);
    expect(lost).toHaveBeenCalledTimes(3);
    expect(await usageOf(one, tenant.id)).toMatchObject({ writes: 2 });
  });

  it('whose connection is cut by the server counts once', async () => {
    const tenant = await one.tenant();
    await tenant.putUntilDecided('a', KB);
    await flush(one);
    await tenant.putUntilDecided('b', KB);
    const blocker = database.createQueryRunner();
    await blocker.startTransaction();
    await blocker.query('SELECT 1 FROM quota_usage_samples WHERE tenant_id = $1 FOR UPDATE', [
      tenant.id,
    ]);
    const flushing = expect(flush(one)).rejects.toThrow(QuotaUnavailableError);
    const cut = async (): Promise<boolean> => {
      const rows = await database.query<unknown[]>(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE wait_event_type = 'Lock' AND query LIKE '%quota_usage_writers%'
           AND pid <> pg_backend_pid()`,
      );
      return rows.length > 0;
    };
    await waitUntil(cut);
    await flushing;
    await blocker.rollbackTransaction();
    await blocker.release();
    await waitUntil(() =>
      flush(one).then(
        () => true,
        () => false,
      ),
    );
    expect(await usageOf(one, tenant.id)).toMatchObject({ writes: 2 });
  });
});

describe('a file of CSV', () => {
  const path = 'usage?from=2025-03-01&to=2025-03-31&by=hour&format=csv';

  beforeAll(() =>
    database.query(
      `INSERT INTO quota_usage_samples (tenant_id, hour)
       SELECT 'bulk-' || t, timestamptz '2025-03-01T00:00:00Z' + make_interval(hours => h)
       FROM generate_series(1, 5) t, generate_series(0, 743) h`,
    ),
  );

  it('has all rows, read in pages', async () => {
    const pages = jest.spyOn(PostgresUsageLog.prototype, 'usage');
    const lines = (await (await report(one, path)).text()).split('\r\n');
    expect(lines).toHaveLength(5 * 744 + 2);
    expect(new Set(lines).size).toBe(lines.length);
    expect(pages).toHaveBeenCalledTimes(Math.ceil((5 * 744) / 500));
  });

  it.each(['express', 'fastify'])('is cut, and not ended, by a page that fails: %s', async (on) => {
    const real = PostgresUsageLog.prototype.usage;
    let pages = 0;
    jest.spyOn(PostgresUsageLog.prototype, 'usage').mockImplementation(async function (
      this: PostgresUsageLog,
      query,
    ) {
      pages += 1;
      if (pages < 3) return real.call(this, query);
      await database.query('ALTER TABLE quota_usage_samples RENAME TO away');
      return real.call(this, query).finally(async () => {
        await database.query('ALTER TABLE away RENAME TO quota_usage_samples');
      });
    });
    const response = await report(on === 'express' ? one : other, path);
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
    expect(pages).toBe(3);
  });
});

it('reads, writes and prunes in the background', async () => {
  const tenant = await one.tenant({ quotaMb: 1 });
  const often = {
    ...settings,
    ...{ QUOTA_USAGE_FLUSH_SECONDS: '1', QUOTA_USAGE_SYNC_SECONDS: '1' },
    QUOTA_USAGE_RETENTION_DAYS: '1000',
  };
  await database.query(
    `INSERT INTO quota_usage_samples (tenant_id, hour) VALUES ($1, '2020-01-01T00:00:00Z')`,
    [tenant.id],
  );
  const services = await Promise.all([Service.start(often), Service.start(often)]);
  try {
    await tenant.at(services[0]).putUntilDecided('k', KB);
    let usage: UsageItem | undefined;
    await waitUntil(
      async () => {
        usage = await usageOf(one, tenant.id);
        const old = await report(one, `usage?from=2020-01-01&to=2020-01-01&tenant=${tenant.id}`);
        const { items } = (await old.json()) as { items: unknown[] };
        return items.length === 0 && usage?.writes === 1 && usage.byteSeconds !== '0';
      },
      { timeoutMs: 20_000, what: () => JSON.stringify(usage) },
    );
    expect(Number(usage?.byteSeconds) % KB).toBe(0);
  } finally {
    await Promise.all(services.map((service) => service.stop()));
  }
});

it('counts on while PostgreSQL is away, exactly', async () => {
  const tenant = await one.tenant({ quotaMb: 1 });
  const there = tenant.at(other);
  await tenant.putUntilDecided('before', KB);
  await there.putUntilDecided('before', KB);
  await flush(one);
  await servers.postgres.kill();
  try {
    for (let i = 0; i < 5; i += 1) {
      expect((await tenant.putUntilDecided(`k${String(i)}`, KB)).status).toBe(201);
      expect((await there.putUntilDecided(`l${String(i)}`, KB)).status).toBe(201);
      await expect(flush(one)).rejects.toThrow(QuotaUnavailableError);
    }
    const response = await report(one, 'usage?from=2026-11-01&to=2026-11-02');
    expect(response.status).toBe(503);
    expect(response.headers.get('content-type')).toContain('application/problem+json');
    await response.text();
    const csv = await report(one, 'cache-metrics?from=2026-11-01&to=2026-11-02&format=csv');
    expect(csv.status).toBe(503);
    await csv.text();
  } finally {
    await servers.postgres.restart();
  }
  await waitUntil(
    () =>
      flush(one, other).then(
        () => true,
        () => false,
      ),
    { timeoutMs: 15_000 },
  );
  expect(await usageOf(one, tenant.id)).toMatchObject({ writes: 12, refusals: 0 });
}, 60_000);
