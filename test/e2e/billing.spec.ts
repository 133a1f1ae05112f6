import { UsageMeter, UsageRecorder } from '@app/quota';
import { DataSource } from 'typeorm';
import { usageOf } from '../integration/billing/reports';
import { ADMIN_TOKEN, answer, Service, type Answer } from './support/service';

const KB = 1_024;
const USAGE_HEADER =
  'tenant_id,period,byte_seconds,byte_hours,estimated_seconds,peak_bytes,writes,refusals,' +
  'shadow_refusals,warnings';

describe.each(['express', 'fastify'])('The reports for bills on %s, embedded', (adapter) => {
  let service: Service;
  let database: DataSource;

  beforeAll(async () => {
    service = await Service.start({
      HTTP_ADAPTER: adapter,
      QUOTA_USAGE_FLUSH_SECONDS: '3600',
      QUOTA_USAGE_SYNC_SECONDS: '86400',
    });
    database = service.app.get(DataSource);
    // Two tenants, three days at the turn of a month.
    await database.query(
      `INSERT INTO quota_usage_samples (tenant_id, hour, byte_seconds, peak_bytes, writes, refusals)
       SELECT tenant, timestamptz '2026-10-30T22:00:00Z' + make_interval(hours => h), 3600000, h + 1, 1, 2
       FROM unnest(ARRAY['acme', 'zeta']) tenant, generate_series(0, 49) h`,
    );
    await database.query(
      `INSERT INTO tenant_cache_metrics
         (tenant_id, metric_date, total_requests, cache_hits, cache_misses, total_bytes_served,
          avg_response_time_ms)
       VALUES ('acme', '2026-11-01', 10, 3, 1, 4096, 1.23456), ('zeta', '2026-11-02', 2, 0, 0, 0, NULL)`,
    );
  }, 60_000);
  afterAll(() => service.stop());

  const get = async (path: string, headers?: Record<string, string>): Promise<Answer> =>
    answer(
      await service.fetch(`/admin/${path}`, {
        headers: headers ?? { Authorization: `Bearer ${ADMIN_TOKEN}` },
      }),
    );

  it('sum hours, days and months', async () => {
    const days = await get('usage?from=2026-10-30&to=2026-11-01&tenant=acme');
    expect(days.status).toBe(200);
    expect(days.headers.get('cache-control')).toBe('no-store');
    const row = { tenantId: 'acme', estimatedSeconds: 0, shadowRefusals: 0, warnings: 0 };
    expect(days.json).toEqual({
      items: [
        {
          ...{ ...row, period: '2026-10-30', byteSeconds: '7200000', byteHours: '2000' },
          ...{ peakBytes: 2, writes: 2, refusals: 4 },
        },
        {
          ...{ ...row, period: '2026-10-31', byteSeconds: '86400000', byteHours: '24000' },
          ...{ peakBytes: 26, writes: 24, refusals: 48 },
        },
        {
          ...{ ...row, period: '2026-11-01', byteSeconds: '86400000', byteHours: '24000' },
          ...{ peakBytes: 50, writes: 24, refusals: 48 },
        },
      ],
      next: null,
    });
    const months = await get('usage?from=2026-10-01&to=2026-11-30&by=month&tenant=zeta');
    expect(months.json).toMatchObject({
      items: [
        { period: '2026-10', writes: 26, peakBytes: 26 },
        { period: '2026-11', writes: 24, peakBytes: 50 },
      ],
    });
    const hours = await get('usage?from=2026-10-30&to=2026-10-30&by=hour&tenant=zeta');
    expect(hours.json).toMatchObject({
      items: [{ period: '2026-10-30T22:00:00Z' }, { period: '2026-10-30T23:00:00Z', writes: 1 }],
    });
  });

  it.each([
    ['hour', 100],
    ['day', 6],
    ['month', 4],
  ])('give every %s once, page after page', async (by, count) => {
    const seen: string[] = [];
    let next: string | null = '';
    while (next !== null) {
      const after = next === '' ? '' : `&after=${encodeURIComponent(next)}`;
      const path = `usage?from=2026-10-01&to=2026-11-30&by=${by}&limit=3${after}`;
      const page = (await get(path)).json as {
        items: { tenantId: string; period: string }[];
        next: string | null;
      };
      expect(page.items.length).toBeLessThanOrEqual(3);
      seen.push(...page.items.map(({ tenantId, period }) => `${tenantId} ${period}`));
      ({ next } = page);
    }
    expect(seen).toHaveLength(count);
    expect(seen).toEqual([...new Set(seen)].toSorted());
  });

  it('are files of CSV when asked', async () => {
    const csv = await get('usage?from=2026-10-30&to=2026-10-31&tenant=acme&format=csv');
    expect(csv.status).toBe(200);
    expect(csv.headers.get('content-type')).toBe('text/csv; charset=utf-8');
    expect(csv.headers.get('content-disposition')).toBe(
      'attachment; filename="usage-by-day_2026-10-30_2026-10-31.csv"',
    );
    expect(csv.headers.get('cache-control')).toBe('no-store');
    expect(csv.text).toBe(
      `${USAGE_HEADER}\r\n` +
        'acme,2026-10-30,7200000,2000,0,2,2,4,0,0\r\n' +
        'acme,2026-10-31,86400000,24000,0,26,24,48,0,0\r\n',
    );
    const none = await get('usage?from=2020-01-01&to=2020-01-02&format=csv');
    expect(none.text).toBe(`${USAGE_HEADER}\r\n`);
    const metrics = await get('cache-metrics?from=2026-11-01&to=2026-11-02&format=csv');
    expect(metrics.headers.get('content-disposition')).toContain('cache-metrics_2026-11-01');
    expect(metrics.text).toBe(
      'tenant_id,date,total_requests,cache_hits,cache_misses,hit_rate,total_bytes_served,' +
        'avg_response_time_ms\r\n' +
        'acme,2026-11-01,10,3,1,0.75,4096,1.235\r\n' +
        'zeta,2026-11-02,2,0,0,,0,\r\n',
    );
  });

  it('tell of the cache by the day, in pages', async () => {
    const first = await get('cache-metrics?from=2026-11-01&to=2026-11-30&limit=1');
    expect(first.json).toEqual({
      items: [
        {
          ...{ tenantId: 'acme', date: '2026-11-01', totalRequests: 10, cacheHits: 3 },
          ...{ cacheMisses: 1, hitRate: 0.75, totalBytesServed: 4096, avgResponseTimeMs: 1.235 },
        },
      ],
      next: 'acme~2026-11-01',
    });
    const second = await get(
      'cache-metrics?from=2026-11-01&to=2026-11-30&limit=1&after=acme~2026-11-01',
    );
    expect(second.json).toMatchObject({
      items: [{ tenantId: 'zeta', hitRate: null, avgResponseTimeMs: null }],
      next: null,
    });
  });

  it.each([
    ['to=2026-11-30', 'from'],
    ['from=2026-11-01', 'to'],
    ['from=2026-11-31&to=2026-12-01', 'from'],
    ['from=2026-1-1&to=2026-12-01', 'from'],
    ['from=2026-11-01T00:00:00Z&to=2026-12-01', 'from'],
    ["from=2026-11-01'&to=2026-12-01", 'from'],
    ['from=2026-11-01&from=2026-11-02&to=2026-12-01', 'from'],
    ['from=2026-11-02&to=2026-11-01', 'to'],
    ['from=2020-01-01&to=2026-11-01', 'to'],
    ['from=2026-11-01&to=2026-11-01&by=week', 'by'],
    ['from=2026-11-01&to=2026-11-01&format=xml', 'format'],
    ['from=2026-11-01&to=2026-11-01&limit=0', 'limit'],
    ['from=2026-11-01&to=2026-11-01&limit=501', 'limit'],
    ['from=2026-11-01&to=2026-11-01&limit=1e1', 'limit'],
    ['from=2026-11-01&to=2026-11-01&tenant=a%20b', 'tenant'],
    ['from=2026-11-01&to=2026-11-01&tenant=', 'tenant'],
    ['from=2026-11-01&to=2026-11-01&tennant=acme', 'tennant'],
    ['from=2026-11-01&to=2026-11-01&after=acme', 'after'],
    ['from=2026-11-01&to=2026-11-01&after=acme~2026-11', 'after'],
    ['from=2026-11-01&to=2026-11-01&after=acme~2026-11-01~', 'after'],
    ['from=2026-11-01&to=2026-11-01&format=csv&limit=1', 'limit'],
    ['from=2026-11-01&to=2026-11-01&format=csv&after=acme~2026-11-01', 'after'],
  ])('refuse %s', async (query, where) => {
    const refused = await get(`usage?${query}`);
    expect(refused.status).toBe(400);
    expect(refused.headers.get('content-type')).toContain('application/problem+json');
    expect(refused.json).toMatchObject({
      error: 'invalid_request',
      errors: [{ where, allowed: expect.stringMatching(/./) }],
    });
  });

  it('are not by another period than the day where there is none', async () => {
    expect((await get('cache-metrics?from=2026-11-01&to=2026-11-01&by=hour')).status).toBe(400);
  });

  it.each(['usage', 'cache-metrics'])('are for admins only: %s', async (route) => {
    const path = `${route}?from=2026-11-01&to=2026-11-01`;
    expect((await get(path, {})).status).toBe(401);
    expect((await get(path, { Authorization: 'Bearer wrong' })).status).toBe(401);
    const tenant = await get(path, { 'X-Tenant-ID': 'acme' });
    expect(tenant.status).toBe(403);
    expect(tenant.text).not.toContain('totalRequests');
    expect((await get(`${path}&format=csv`, { 'X-Tenant-ID': 'acme' })).status).toBe(403);
  });

  it('are in the OpenAPI document', async () => {
    const { paths } = (await answer(await service.fetch('/openapi.json'))).json as {
      paths: Record<string, { get: { parameters: { name: string }[]; responses: object } }>;
    };
    const usage = paths['/admin/usage']?.get;
    expect(usage?.parameters.map(({ name }) => name).toSorted()).toEqual(
      ['after', 'by', 'format', 'from', 'limit', 'tenant', 'to'].toSorted(),
    );
    expect(usage?.responses).toMatchObject({
      200: { content: { 'application/json': {}, 'text/csv': {} } },
      ...{ 400: {}, 401: {}, 403: {}, 503: {} },
    });
    expect(paths['/admin/cache-metrics']).toBeDefined();
  });

  it('come from what tenants really do', async () => {
    const tenant = await service.tenant({ quotaMb: 1 });
    await tenant.put('k', 5 * KB);
    await service.app.get(UsageMeter).readAll();
    await database.query(
      `UPDATE quota_usage_meters SET read_at = read_at - interval '10 minutes' WHERE tenant_id = $1`,
      [tenant.id],
    );
    await service.app.get(UsageMeter).readAll();
    await service.app.get(UsageRecorder).flush();
    const usage = await usageOf(service, tenant.id);
    expect(usage).toMatchObject({ writes: 1, peakBytes: 5 * KB });
    expect(Number(usage?.byteSeconds) % (5 * KB)).toBe(0);
    expect(Number(usage?.byteSeconds)).toBeGreaterThanOrEqual(600 * 5 * KB);
  });
});
