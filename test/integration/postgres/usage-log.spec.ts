import { randomUUID } from 'node:crypto';
import {
  PostgresUsageLog,
  type CacheRequestCounts,
  type CountBatch,
  type UsageCounts,
  type UsageQuery,
  type UsageRecord,
} from '@app/quota';
import type { DataSource } from 'typeorm';
import { DATABASES, type TestDatabase } from './databases';

const HOUR_MS = 3_600_000;
const NOON = Date.parse('2026-11-10T12:00:00Z') / HOUR_MS;
const DAY = Date.parse('2026-11-10T00:00:00Z') / (24 * HOUR_MS);
const GAP_SECONDS = 900;

function counts(tenant: string, hour: number, more: Partial<UsageCounts> = {}): UsageCounts {
  const none = { peakBytes: 0, writes: 0, refusals: 0, shadowRefusals: 0, warnings: 0 };
  return { tenant, hour, ...none, ...more };
}

function batch<Row>(rows: Row[], writer: string = randomUUID(), number = 1): CountBatch<Row> {
  return { writer, number, rows };
}

describe.each(DATABASES)('PostgresUsageLog on %s', (_name, open) => {
  let database: TestDatabase;
  let dataSource: DataSource;
  let log: PostgresUsageLog;
  let serial = 0;
  let tenant: string;

  beforeAll(async () => {
    database = await open();
    dataSource = database.dataSource;
    log = new PostgresUsageLog(dataSource);
  }, 60_000);
  afterAll(() => database.close());
  beforeEach(() => (tenant = `t-${String((serial += 1))}`));

  const usage = async (more: Partial<UsageQuery> = {}): Promise<readonly UsageRecord[]> => {
    const query: UsageQuery = {
      ...{ by: 'hour' as const, tenant, limit: 1_000 },
      ...{ from: new Date('2026-01-01T00:00:00Z'), until: new Date('2027-06-01T00:00:00Z') },
      ...more,
    };
    return (await log.usage(query)).rows;
  };

  const used = (bytes: number): (() => Promise<ReadonlyMap<string, number>>) => {
    const name = tenant;
    return async () => new Map([[name, bytes]]);
  };

  /** Of its last reading, whole seconds since 1970. */
  const readAt = async (): Promise<number> => {
    const [row] = await dataSource.query<{ at: string }[]>(
      'SELECT extract(epoch FROM read_at) AS at FROM quota_usage_meters WHERE tenant_id = $1',
      [tenant],
    );
    return Number(row?.at);
  };

  /** As if the last reading had been so many seconds earlier. */
  const sinceReading = (seconds: number): Promise<unknown> =>
    dataSource.query(
      `UPDATE quota_usage_meters SET read_at = read_at - make_interval(secs => $2::integer)
       WHERE tenant_id = $1`,
      [tenant, seconds],
    );

  describe('counts', () => {
    it('count once though a batch comes twice, later and at the same time', async () => {
      const first = batch([counts(tenant, NOON, { writes: 5, refusals: 2, peakBytes: 100 })]);
      await Promise.all([log.addCounts(first), log.addCounts(first), log.addCounts(first)]);
      await log.addCounts(first);
      const more = counts(tenant, NOON, { writes: 1, shadowRefusals: 1, warnings: 3 });
      const second = batch([more], first.writer, 2);
      await log.addCounts(second);
      await log.addCounts(second);
      // One that was late, after the next: it is known to be written.
      await log.addCounts(first);
      expect(await usage()).toMatchObject([
        { writes: 6, refusals: 2, shadowRefusals: 1, warnings: 3, peakBytes: 100 },
      ]);
    });

    it('of several writers add up, in one hour and over hours', async () => {
      const row = { writes: 1, peakBytes: 7 };
      await Promise.all(
        Array.from({ length: 8 }, () =>
          log.addCounts(
            batch([
              counts(tenant, NOON, row),
              counts(tenant, NOON + 1, row),
              counts(`${tenant}-b`, NOON, row),
            ]),
          ),
        ),
      );
      expect(await usage()).toMatchObject([
        { start: new Date(NOON * HOUR_MS), writes: 8, peakBytes: 7 },
        { start: new Date((NOON + 1) * HOUR_MS), writes: 8, peakBytes: 7 },
      ]);
      expect(await usage({ tenant: `${tenant}-b` })).toMatchObject([{ writes: 8 }]);
    });

    it('of one hour may stand twice in a batch, as after a step of the clock', async () => {
      await log.addCounts(
        batch([
          counts(tenant, NOON, { writes: 1, peakBytes: 5 }),
          counts(tenant, NOON, { writes: 2, peakBytes: 3 }),
        ]),
      );
      expect(await usage()).toMatchObject([{ writes: 3, peakBytes: 5 }]);
    });
  });

  describe('cache requests', () => {
    const requests = (more: Partial<CacheRequestCounts>): CacheRequestCounts => ({
      ...{ tenant, day: DAY, requests: 1, hits: 0, misses: 0, bytesServed: 0, totalMs: 0 },
      ...more,
    });

    it('add up once, with the average by its weights', async () => {
      const one = batch([
        requests({ requests: 3, hits: 2, misses: 1, bytesServed: 50, totalMs: 30 }),
      ]);
      await log.addCacheRequests(one);
      await log.addCacheRequests(one);
      await log.addCacheRequests(batch([requests({ requests: 1, hits: 1, totalMs: 50 })]));
      const from = new Date(DAY * 24 * HOUR_MS);
      const until = new Date((DAY + 1) * 24 * HOUR_MS);
      const query = { from, until, tenant, limit: 10 };
      expect(await log.cacheMetrics(query)).toEqual({
        rows: [
          {
            ...{ tenant, start: from, requests: 4, hits: 3, misses: 1 },
            ...{ bytesServed: 50, avgResponseMs: 20 },
          },
        ],
        more: false,
      });
      const [row] = await dataSource.query<{ hit_rate: string }[]>(
        'SELECT hit_rate FROM tenant_cache_metrics WHERE tenant_id = $1',
        [tenant],
      );
      expect(row?.hit_rate).toBe('0.750000');
      expect((await log.cacheMetrics({ ...query, from: until, until: from })).rows).toEqual([]);
    });
  });

  describe('readings', () => {
    it('sum up what was held, to the byte and second, in the hours it was held in', async () => {
      await log.addReadings([tenant], used(1_000), GAP_SECONDS);
      expect(
        (await usage({ until: new Date('2100-01-01') })).map((row) => row.byteSeconds),
      ).toEqual([0n]);
      // Two hours and a bit, none of it a gap.
      await sinceReading(7_300);
      const began = await readAt();
      await log.addReadings([tenant], used(5_000), 10_000);
      const ended = await readAt();
      const rows = await usage({ until: new Date('2100-01-01') });
      const expected = new Map<number, bigint>();
      for (let second = began; second < ended; second += 1) {
        const hour = Math.floor(second / 3_600);
        expected.set(hour, (expected.get(hour) ?? 0n) + 1_000n);
      }
      const summed = rows.map((row) => [row.start.getTime() / HOUR_MS, row.byteSeconds] as const);
      expect(summed.filter(([, bytes]) => bytes > 0n)).toEqual([...expected]);
      expect(rows.map((row) => row.estimatedSeconds)).toEqual(rows.map(() => 0));
      expect(rows.at(0)?.peakBytes).toBe(1_000);
      expect(rows.at(-1)?.peakBytes).toBe(5_000);
    });

    it('count a time once, though several read it at the same time', async () => {
      await log.addReadings([tenant], used(1), GAP_SECONDS);
      await sinceReading(600);
      const began = await readAt();
      await Promise.all(
        Array.from({ length: 6 }, () => log.addReadings([tenant], used(1), GAP_SECONDS)),
      );
      const [total] = await usage({ by: 'month', until: new Date('2100-01-01') });
      expect(Number(total?.byteSeconds)).toBe((await readAt()) - began);
    });

    it('across a gap count the smaller one, and say for how long', async () => {
      await log.addReadings([tenant], used(1_000), GAP_SECONDS);
      await sinceReading(GAP_SECONDS + 1);
      let began = await readAt();
      await log.addReadings([tenant], used(10), GAP_SECONDS);
      const gap = (await readAt()) - began;
      const until = new Date('2100-01-01');
      const sum = async (): Promise<[number, number]> => {
        const rows = await usage({ until });
        return [
          rows.reduce((total, row) => total + Number(row.byteSeconds), 0),
          rows.reduce((total, row) => total + row.estimatedSeconds, 0),
        ];
      };
      expect(await sum()).toEqual([gap * 10, gap]);
      // Held less before it: that counts.
      await sinceReading(2 * GAP_SECONDS);
      began = await readAt();
      await log.addReadings([tenant], used(999), GAP_SECONDS);
      const second = (await readAt()) - began;
      expect(await sum()).toEqual([(gap + second) * 10, gap + second]);
    });

    it('of nothing leave no rows, however long ago the last one was', async () => {
      await log.addReadings([tenant], used(0), GAP_SECONDS);
      await sinceReading(86_400 * 100);
      await log.addReadings([tenant], used(0), GAP_SECONDS);
      expect(await usage({ until: new Date('2100-01-01') })).toEqual([]);
    });

    it('never make more rows of one tenant than the hours of a month', async () => {
      await log.addReadings([tenant], used(1), GAP_SECONDS);
      await sinceReading(86_400 * 365);
      await log.addReadings([tenant], used(1), GAP_SECONDS);
      const from = new Date('2020-01-01');
      const rows = await usage({ from, until: new Date('2100-01-01') });
      const held = rows.reduce((total, row) => total + Number(row.byteSeconds), 0);
      expect(held).toBe(31 * 86_400);
    });

    it('tell who held something and was not read since', async () => {
      await log.addReadings([tenant], used(1), GAP_SECONDS);
      expect(await log.holders(60, '', 1_000)).not.toContain(tenant);
      await sinceReading(120);
      expect(await log.holders(60, '', 1_000)).toContain(tenant);
      expect(await log.holders(60, tenant, 1_000)).not.toContain(tenant);
      await log.addReadings([tenant], used(0), GAP_SECONDS);
      await sinceReading(120);
      expect(await log.holders(60, '', 1_000)).not.toContain(tenant);
    });
  });

  describe('a report', () => {
    it('sums days and months of UTC, and pages through them in order', async () => {
      const hours = [0, 1, 23, 24, 24 * 20, 24 * 20 + 5].map(
        (hour) => Date.parse('2026-10-31T00:00:00Z') / HOUR_MS + hour,
      );
      const tenants = [`${tenant}-a`, `${tenant}-b`];
      const rows = tenants.flatMap((name) =>
        hours.map((hour) => counts(name, hour, { writes: 1, peakBytes: hour })),
      );
      await log.addCounts(batch(rows));
      const seen: string[] = [];
      let after: UsageRecord | undefined;
      let more = true;
      while (more) {
        const page = await log.usage({
          ...{ by: 'day', from: new Date('2026-10-31T00:00:00Z'), limit: 2 },
          until: new Date('2026-12-01T00:00:00Z'),
          ...(after !== undefined && { after }),
        });
        const ours = page.rows.filter((row) => row.tenant.startsWith(tenant));
        seen.push(
          ...ours.map((row) => `${row.tenant.slice(-1)} ${row.start.toISOString()} ${row.writes}`),
        );
        after = page.rows.at(-1);
        ({ more } = page);
      }
      expect(seen).toEqual(
        ['a', 'b'].flatMap((name) => [
          `${name} 2026-10-31T00:00:00.000Z 3`,
          `${name} 2026-11-01T00:00:00.000Z 1`,
          `${name} 2026-11-20T00:00:00.000Z 2`,
        ]),
      );
      const months = await usage({ by: 'month', tenant: `${tenant}-a` });
      expect(months).toMatchObject([
        { start: new Date('2026-10-01T00:00:00Z'), writes: 3, peakBytes: hours[2] },
        { start: new Date('2026-11-01T00:00:00Z'), writes: 3, peakBytes: hours[5] },
      ]);
    });

    it('is exact beyond 2^53', async () => {
      await dataSource.query(
        `INSERT INTO quota_usage_samples (tenant_id, hour, byte_seconds)
         VALUES ($1, '2026-11-10T00:00:00Z', '32425917317067571199'),
                ($1, '2026-11-10T01:00:00Z', '32425917317067571199')`,
        [tenant],
      );
      expect((await usage({ by: 'day' }))[0]?.byteSeconds).toBe(64_851_834_634_135_142_398n);
    });
  });

  it('prunes what is older than it is kept, and nothing else', async () => {
    const now = Math.floor(Date.now() / HOUR_MS);
    const old = now - 24 * 10;
    const kept = now - 24 * 8;
    await log.addCounts(
      batch([counts(tenant, old, { writes: 1 }), counts(tenant, kept, { writes: 2 })]),
    );
    const days = [old, kept].map((hour) => Math.floor(hour / 24));
    await log.addCacheRequests(
      batch(
        days.map((day) => ({
          ...{ tenant, day, requests: 1, hits: 0, misses: 1, bytesServed: 0, totalMs: 1 },
        })),
      ),
    );
    await dataSource.query(
      `INSERT INTO quota_usage_writers (writer, batch, written_at)
       VALUES (gen_random_uuid(), 1, now() - interval '10 days')`,
    );
    await dataSource.query(
      `INSERT INTO quota_usage_samples (tenant_id, hour)
       SELECT $1, date_trunc('hour', now()) - make_interval(days => 20, hours => i)
       FROM generate_series(1, 2500) i`,
      [`${tenant}-many`],
    );
    expect(await log.prune(9)).toBe(true);
    expect(await log.prune(9)).toBe(false);
    const all = { from: new Date('2020-01-01'), until: new Date('2100-01-01') };
    expect(await usage(all)).toMatchObject([{ writes: 2 }]);
    expect(await usage({ ...all, tenant: `${tenant}-many` })).toEqual([]);
    expect((await log.cacheMetrics({ ...all, tenant, limit: 10 })).rows).toHaveLength(1);
    const writers = `SELECT 1 FROM quota_usage_writers WHERE written_at < now() - interval '9 days'`;
    expect(await dataSource.query(writers)).toEqual([]);
  });
});
