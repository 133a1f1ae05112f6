import { readFileSync } from 'node:fs';
import type { DataSource } from 'typeorm';
import { createDataSource } from '../../../src/database/data-source';
import { startPostgres, type PostgresServer } from '../../support';

jest.setTimeout(120_000);

const ROWS = 20_000;
/** What is documented may be off by so much: pages are filled as they come. */
const TOLERANCE = 0.1;

/** A tenant's id as most are, a UUID; the same for the same number. */
const TENANT = `md5(n::text)::uuid::text`;
const SETTINGS = `jsonb_build_object('quota_mb', 500, 'overage_allowed', true, 'overage_limit_mb', 50,
  'mode', null, 'version', 3)`;

/** A row of each table for n from 1 on, as the service would write it. */
const TABLES: Readonly<Record<string, string>> = {
  tenant_cache_quotas: `(tenant_id, quota_mb, overage_allowed, current_usage_bytes, usage_read_at)
    SELECT ${TENANT}, 500, true, n * 10000, now()`,
  quota_changes: `(tenant_id, actor, action, before, after)
    SELECT ${TENANT}, 'admin', 'update', ${SETTINGS}, ${SETTINGS}`,
  quota_evictions: `(tenant_id, actor, reason, target, used_before, used_after, entries, freed_bytes)
    SELECT ${TENANT}, 'admin', 'ticket 4711', '{"targetPercent": 80}', n * 10000, n * 8000, n, n * 2000`,
  tenant_cache_metrics: `(tenant_id, metric_date, total_requests, cache_hits, cache_misses,
      total_bytes_served, avg_response_time_ms)
    SELECT ${TENANT}, current_date, n * 3, n * 2, n, n * 10000, n * 0.013`,
  quota_usage_samples: `(tenant_id, hour, byte_seconds, peak_bytes, writes)
    SELECT ${TENANT}, date_trunc('hour', now()), n::numeric * 36000000, n * 10000, n`,
  quota_usage_meters: `(tenant_id, read_at, used_bytes) SELECT ${TENANT}, now(), n * 10000`,
  quota_ledger: `(tenant_id, generation, granted_bytes, grant_seq)
    SELECT ${TENANT}, md5((-n)::text)::uuid::text, n * 10000, n`,
  cache_entries: `(tenant_id, key, body, bytes, content_type, version, expires_at)
    SELECT ${TENANT}, convert_to('key-' || n, 'UTF8'), '', 0, 'application/octet-stream', n,
      now() + interval '1 hour'`,
};

let postgres: PostgresServer;
let database: DataSource;

beforeAll(async () => {
  postgres = await startPostgres();
  const databaseUrl = await postgres.createDatabase();
  database = await createDataSource({ databaseUrl, dataDir: 'unused' });
});

afterAll(async () => {
  await database.destroy();
  await postgres.stop();
});

/** Of the table with its indexes and what lies beside it. */
async function sizeOf(table: string): Promise<number> {
  const text = 'SELECT pg_total_relation_size($1::regclass)::int AS bytes';
  const [row] = await database.query<{ bytes: number }[]>(text, [table]);
  return row!.bytes;
}

/** In no order, as tenants come; an index that is filled in its order is smaller. */
async function bytesPerRow(table: string, insert: string): Promise<number> {
  const before = await sizeOf(table);
  await database.query(
    `INSERT INTO ${table} ${insert}
     FROM generate_series(1, ${ROWS}) AS g (n) ORDER BY md5(n::text || 'x')`,
  );
  await database.query(`VACUUM ANALYZE ${table}`);
  return Math.round(((await sizeOf(table)) - before) / ROWS);
}

it('has the sizes of rows in the documentation', async () => {
  const page = readFileSync('docs/operations/capacity.md', 'utf8');
  const documented = new Map(
    [...page.matchAll(/^\| `(\w+)` +\|.*\| +(\d+) +\|$/gm)].map(([, name, bytes]) => [
      name,
      Number(bytes),
    ]),
  );
  const measured = new Map<string, number>();
  for (const [table, insert] of Object.entries(TABLES)) {
    measured.set(table, await bytesPerRow(table, insert));
  }
  const wrong = [...measured].filter(([table, bytes]) => {
    const said = documented.get(table) ?? 0;
    return Math.abs(said - bytes) > bytes * TOLERANCE;
  });
  expect(wrong).toEqual([]);
});
