import { DataSource } from 'typeorm';
import { QuotaCacheService, UsageTracker } from '@app/quota';
import { waitUntil } from '../support';
import { MB, Service } from './support/service';
import { Servers } from './support/stacks';

jest.setTimeout(60_000);

let servers: Servers;
let service: Service;

beforeAll(async () => {
  servers = await Servers.start();
  service = await Service.start({
    ...(await servers.settings({ adapter: 'express', stores: 'postgres' })),
    QUOTA_METRICS_TOP_TENANTS: '2',
    QUOTA_USAGE_SYNC_SECONDS: '1',
  });
});

afterAll(async () => {
  await service.stop();
  await servers.stop();
});

async function scrape(): Promise<string> {
  const answer = await service.fetch('/metrics');
  expect(answer.status).toBe(200);
  return answer.text();
}

/** The value of a series by its name and labels as they are printed; undefined: it has no sample. */
function valueIn(text: string, series: string): number | undefined {
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length));
}

async function until(series: string, holds: (value: number | undefined) => boolean): Promise<void> {
  let last: number | undefined;
  await waitUntil(async () => holds((last = valueIn(await scrape(), series))), {
    timeoutMs: 20_000,
    what: () => `${series}, which is ${String(last)}`,
  });
}

it('names the fullest tenants, so many as asked for, and counts who is near or over', async () => {
  const [full, over, low] = [
    await service.tenant({ quotaMb: 2 }),
    await service.tenant({ quotaMb: 1, overageAllowed: true, overageLimitMb: 1 }),
    await service.tenant({ quotaMb: 4 }),
  ];
  await full.put('a', 1.7 * MB);
  await over.put('a', 1.5 * MB);
  await low.put('a', MB);
  await until('quota_tenants_over_quota', (value) => value === 1);
  const text = await scrape();
  expect(valueIn(text, 'quota_tenants_near_limit')).toBe(2);
  const named = (metric: string): [string, number][] =>
    [...text.matchAll(new RegExp(`^${metric}\\{tenant="([^"]+)"\\} (\\S+)$`, 'gm'))].map(
      ([, tenant = '', value]) => [tenant, Number(value)],
    );
  expect(named('quota_tenant_usage_bytes')).toEqual([
    [over.id, 1.5 * MB],
    [full.id, Math.round(1.7 * MB)],
  ]);
  expect(named('quota_tenant_usage_percent')).toEqual([
    [over.id, 150],
    [full.id, expect.closeTo(85)],
  ]);
  await Promise.all([full.delete('a'), over.delete('a')]);
  await until('quota_tenants_near_limit', (value) => value === 0);
  expect(await scrape()).toContain(`quota_tenant_usage_percent{tenant="${low.id}"} 25`);
});

it('counts what became of reservations that lapsed', async () => {
  const tenant = await service.tenant({ quotaMb: 2 });
  const { stamp } = await service.app.get(QuotaCacheService).getQuota(tenant.id);
  const series = (outcome: string): string =>
    `quota_lapsed_reservations_total{outcome="${outcome}"}`;
  const text = await scrape();
  expect([valueIn(text, series('let_go')), valueIn(text, series('kept'))]).toEqual([0, 0]);
  const tracker = service.app.get(UsageTracker);
  // As of processes that died while they wrote.
  for (const id of ['one', 'other']) {
    await tracker.reserve({
      ...{ tenant: tenant.id, id: `${tenant.id}-${id}`, key: id, bytes: 1_000, stamp },
      ...{ limits: { quotaBytes: 2 * MB, hardBytes: 2 * MB }, enforce: true },
      ...{ holdMs: 20, keep: true },
    });
  }
  await until(series('let_go'), (value) => value === 2);
  expect(await tenant.standing()).toMatchObject({ committedBytes: 0, reservedBytes: 0 });
});

it('shows the drift that was found until it is found no more', async () => {
  const tenant = await service.tenant({ quotaMb: 2 });
  await tenant.put('a', 1_000);
  const database = service.app.get(DataSource);
  await database.query('DELETE FROM cache_entries WHERE tenant_id = $1', [tenant.id]);
  const reconcile = (): Promise<Response> => service.admin('POST', `/${tenant.id}/reconcile`);
  await reconcile();
  const text = await scrape();
  expect(valueIn(text, 'quota_usage_drift_bytes')).toBe(1_000);
  expect(valueIn(text, 'quota_usage_drift_cause_bytes{cause="extra"}')).toBe(1_000);
  expect(valueIn(text, 'quota_last_reconcile_timestamp_seconds')).toBeGreaterThan(1.7e9);
  await reconcile();
  expect(valueIn(await scrape(), 'quota_usage_drift_bytes')).toBe(0);
});

it('Redis away: PostgreSQL is named as who decides, and its journal is shown until it is empty', async () => {
  const tenant = await service.tenant({ quotaMb: 2 });
  await tenant.put('a', 100);
  await servers.redis.kill();
  await until('quota_store_state{store="redis"}', (value) => value === 2);
  await tenant.putUntilDecided('b', 100);
  await tenant.putUntilDecided('c', 100);
  const text = await scrape();
  expect(valueIn(text, 'quota_journal_entries')).toBeGreaterThanOrEqual(2);
  expect(
    valueIn(text, 'quota_check_duration_seconds_count{source="postgres"}'),
  ).toBeGreaterThanOrEqual(2);
  expect(valueIn(text, 'quota_degraded_decisions_total{policy="bank"}')).toBeGreaterThan(0);
  await servers.redis.restart();
  await until('quota_store_state{store="redis"}', (value) => value === 0);
  await until('quota_journal_entries', (value) => value === 0);
});

it('PostgreSQL hangs: many scrapes at once are answered, without what cannot be known', async () => {
  servers.postgres.pause();
  try {
    const texts = await Promise.all(Array.from({ length: 20 }, scrape));
    for (const text of texts) {
      expect(valueIn(text, 'quota_store_state{store="postgres"}')).toBe(2);
      expect(valueIn(text, 'quota_tenants_over_quota')).toBeUndefined();
      expect(valueIn(text, 'quota_tenants_near_limit')).toBeUndefined();
      expect(valueIn(text, 'quota_journal_entries')).toBeUndefined();
      expect(text).not.toMatch(/^quota_tenant_usage_/m);
      expect(valueIn(text, 'quota_reserved_bytes')).toBe(0);
    }
  } finally {
    servers.postgres.resume();
  }
  await until('quota_store_state{store="postgres"}', (value) => value === 0);
  expect(valueIn(await scrape(), 'quota_tenants_over_quota')).toBe(0);
});
