import {
  PostgresQuotaStore,
  TenantCacheQuota,
  quotaEntities,
  quotaMigrations,
  quotaPostgresOptions,
} from '@app/quota';
import { createConnection, createServer, type AddressInfo } from 'node:net';
import { DataSource } from 'typeorm';
import { createDataSource } from '../../../src/database/data-source';
import { startPostgres, type PostgresServer } from '../../support';
import { DATABASES, type TestDatabase } from './databases';

const TABLES = [
  'cache_entries',
  'quota_changes',
  'quota_decisions',
  'quota_evictions',
  'quota_ledger',
  'quota_ledger_entries',
  'quota_ledger_folds',
  'quota_ledger_holds',
  'quota_ledger_removals',
  'quota_ledger_versions',
  'quota_rollout',
  'quota_rollout_changes',
  'quota_usage_meters',
  'quota_usage_samples',
  'quota_usage_writers',
  'tenant_cache_metrics',
  'tenant_cache_quotas',
];

/** Takes back so many migrations, the latest first. */
async function undo(dataSource: DataSource, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await dataSource.undoLastMigration();
}

describe.each(DATABASES)('The migrations on %s', (_name, open) => {
  let database: TestDatabase;
  let dataSource: DataSource;
  beforeAll(async () => {
    database = await open();
    dataSource = database.dataSource;
  }, 60_000);
  afterAll(() => database.close());

  const tables = async (): Promise<string[]> => {
    const rows = await dataSource.query<{ name: string }[]>(
      `SELECT table_name AS name FROM information_schema.tables
       WHERE table_schema = current_schema() ORDER BY 1`,
    );
    return rows.map(({ name }) => name);
  };

  it('make what the entities describe: migration:generate has nothing to add', async () => {
    const { upQueries } = await dataSource.driver.createSchemaBuilder().log();
    expect(upQueries.map(({ query }) => query)).toEqual([]);
  });

  it('go down without a trace, and up again', async () => {
    await undo(dataSource, dataSource.migrations.length);
    const functions = `SELECT proname FROM pg_proc WHERE proname LIKE 'quota%'`;
    expect(await dataSource.query(functions)).toEqual([]);
    expect(await tables()).toEqual(['migrations', 'typeorm_metadata']);
    expect(await dataSource.query('SELECT * FROM typeorm_metadata')).toEqual([]);
    expect(await dataSource.query('SELECT * FROM migrations')).toEqual([]);
    expect(await dataSource.runMigrations()).toHaveLength(dataSource.migrations.length);
    expect(await tables()).toEqual([...TABLES, 'migrations', 'typeorm_metadata'].toSorted());
    expect(await dataSource.runMigrations()).toEqual([]);
    const { upQueries } = await dataSource.driver.createSchemaBuilder().log();
    expect(upQueries).toEqual([]);
  });

  it('generate the MB from the bytes', async () => {
    await dataSource.query(
      `INSERT INTO tenant_cache_quotas (tenant_id, current_usage_bytes)
       VALUES ('mb-a', 406323200), ('mb-b', 0), ('mb-c', 9007199254740991)`,
    );
    const repository = dataSource.getRepository(TenantCacheQuota);
    const rows = await repository.find({ order: { tenantId: 'ASC' } });
    expect(rows).toMatchObject([
      { tenantId: 'mb-a', currentUsageBytes: 406_323_200, currentUsageMb: 387.5 },
      { currentUsageBytes: 0, currentUsageMb: 0 },
      { currentUsageBytes: Number.MAX_SAFE_INTEGER, currentUsageMb: 8_589_934_591.999999 },
    ]);
    await expect(
      dataSource.query(`UPDATE tenant_cache_quotas SET current_usage_mb = 1`),
    ).rejects.toThrow('current_usage_mb');
    await dataSource.query(`DELETE FROM tenant_cache_quotas`);
  });

  it('generate the hit rate, which is none where nothing was looked up', async () => {
    await dataSource.query(
      `INSERT INTO tenant_cache_metrics (tenant_id, metric_date, total_requests, cache_hits, cache_misses)
       VALUES ('a', '2026-01-01', 100, 3, 1), ('a', '2026-01-02', 5, 0, 0), ('a', '2026-01-03', 1, 0, 1)`,
    );
    expect(
      await dataSource.query(
        'SELECT hit_rate::double precision AS rate FROM tenant_cache_metrics ORDER BY metric_date',
      ),
    ).toEqual([{ rate: 0.75 }, { rate: null }, { rate: 0 }]);
    await expect(
      dataSource.query(
        `INSERT INTO tenant_cache_metrics (tenant_id, metric_date) VALUES ('a', '2026-01-01')`,
      ),
    ).rejects.toThrow('tenant_cache_metrics_tenant_id_metric_date_key');
  });

  it('give the entities what they need to be written with', async () => {
    const repository = dataSource.getRepository(TenantCacheQuota);
    const saved = await repository.save(repository.create({ tenantId: 'entity', quotaMb: 5 }));
    saved.quotaMb = 6;
    saved.currentUsageBytes = 2 ** 40;
    await repository.save(saved);
    expect(await repository.findOneByOrFail({ tenantId: 'entity' })).toMatchObject({
      quotaMb: 6,
      version: 2,
      currentUsageBytes: 2 ** 40,
      currentUsageMb: 2 ** 20,
      mode: null,
      createdAt: expect.any(Date),
    });
    expect((await new PostgresQuotaStore(dataSource).load('entity')).row?.version).toBe(2);
  });

  describe('refuse by constraint', () => {
    beforeAll(() =>
      dataSource.query(`INSERT INTO tenant_cache_quotas (tenant_id) VALUES ('poison')`),
    );

    it.each([
      ['quota_mb = 0', 'tenant_cache_quotas_quota_mb_check'],
      ['quota_mb = -1', 'tenant_cache_quotas_quota_mb_check'],
      ['quota_mb = NULL', 'quota_mb'],
      ['quota_mb = 2147483648', 'out of range'],
      ['overage_limit_mb = -1', 'tenant_cache_quotas_overage_check'],
      ['overage_limit_mb = NULL', 'overage_limit_mb'],
      ['overage_allowed = NULL', 'overage_allowed'],
      ['current_usage_bytes = -1', 'tenant_cache_quotas_usage_check'],
      ['current_usage_bytes = NULL', 'current_usage_bytes'],
      [`mode = 'on'`, 'tenant_cache_quotas_mode_check'],
      [`mode = ''`, 'tenant_cache_quotas_mode_check'],
      ['version = 0', 'tenant_cache_quotas_version_check'],
      [`tenant_id = ''`, 'tenant_cache_quotas_tenant_id_check'],
      [`tenant_id = '.a'`, 'tenant_cache_quotas_tenant_id_check'],
      [`tenant_id = E'a\\n'`, 'tenant_cache_quotas_tenant_id_check'],
      [`tenant_id = E'a\\nb'`, 'tenant_cache_quotas_tenant_id_check'],
      [`tenant_id = 'ä'`, 'tenant_cache_quotas_tenant_id_check'],
      [`tenant_id = repeat('a', 129)`, 'tenant_cache_quotas_tenant_id_check'],
    ])('SET %s', async (assignment, constraint) => {
      await expect(
        dataSource.query(`UPDATE tenant_cache_quotas SET ${assignment} WHERE tenant_id = 'poison'`),
      ).rejects.toThrow(constraint);
    });

    it('a second row of a tenant', async () => {
      await expect(
        dataSource.query(`INSERT INTO tenant_cache_quotas (tenant_id) VALUES ('poison')`),
      ).rejects.toThrow('tenant_cache_quotas_tenant_id_key');
    });

    it.each([
      ['cache_hits', '-1', 'tenant_cache_metrics_counts_check'],
      ['avg_response_time_ms', `'NaN'`, 'tenant_cache_metrics_response_time_check'],
      ['avg_response_time_ms', '-0.1', 'tenant_cache_metrics_response_time_check'],
    ])('metrics with %s = %s', async (column, value, constraint) => {
      await expect(
        dataSource.query(
          `INSERT INTO tenant_cache_metrics (tenant_id, metric_date, ${column}) VALUES ('p', now(), ${value})`,
        ),
      ).rejects.toThrow(constraint);
    });

    it('entries whose bytes are not those of the body', async () => {
      await expect(
        dataSource.query(
          `INSERT INTO cache_entries (tenant_id, key, body, bytes, content_type, version)
           VALUES ('p', 'k', 'abc', 2, 'text/plain', 1)`,
        ),
      ).rejects.toThrow('cache_entries_bytes_check');
    });
  });

  it('find the tenants over their quota by the partial index', async () => {
    await dataSource.query(
      `INSERT INTO tenant_cache_quotas (tenant_id, quota_mb, current_usage_bytes)
       SELECT 'over-' || i, 1, CASE WHEN i % 1000 = 0 THEN 1048577 ELSE 1048576 END
       FROM generate_series(1, 5000) i`,
    );
    await dataSource.query('ANALYZE tenant_cache_quotas');
    const sql = `SELECT count(*)::int AS n FROM tenant_cache_quotas
      WHERE current_usage_bytes > quota_mb::bigint * 1048576`;
    expect(await dataSource.query(sql)).toEqual([{ n: expect.any(Number) }]);
    const plan = JSON.stringify(await dataSource.query(`EXPLAIN ${sql}`));
    expect(plan).toContain('tenant_cache_quotas_over_quota_idx');
    await dataSource.query('DELETE FROM tenant_cache_quotas');
  });

  it('find the stamp of a tenant by index, however long the trail', async () => {
    await dataSource.query(
      `INSERT INTO quota_changes (tenant_id, actor, action)
       SELECT 't-' || (i % 100), 'x', 'update' FROM generate_series(1, 10000) i`,
    );
    await dataSource.query('ANALYZE quota_changes');
    const plan = JSON.stringify(
      await dataSource.query(`EXPLAIN SELECT max(id) FROM quota_changes WHERE tenant_id = 't-5'`),
    );
    expect(plan).toContain('quota_changes_tenant_id_id_idx');
    await dataSource.query('DELETE FROM quota_changes');
  });
});

describe('Instances that start together', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server.stop());

  it('migrate a new database once', async () => {
    const databaseUrl = await server.createDatabase();
    const sources = await Promise.all(
      Array.from({ length: 3 }, () => createDataSource({ databaseUrl, dataDir: 'unused' })),
    );
    const [first] = sources;
    const applied = await first!.query<{ name: string }[]>('SELECT name FROM migrations');
    expect(new Set(applied.map(({ name }) => name)).size).toBe(first!.migrations.length);
    expect(applied).toHaveLength(first!.migrations.length);
    await Promise.all(sources.map((source) => source.destroy()));
  });

  it('give a start up that a link holds once it is connected', async () => {
    const databaseUrl = new URL(await server.createDatabase());
    let greeted = 0;
    // Lets the greeting through, and no question about migrations.
    const link = createServer((near) => {
      const far = createConnection(server.port, '127.0.0.1');
      far.once('data', () => (greeted += 1));
      for (const socket of [near, far]) socket.on('error', () => undefined);
      near.on('close', () => far.destroy());
      far.pipe(near);
      near.on('data', (sent) => sent.includes('migrations') || far.write(sent));
    });
    await new Promise<void>((resolve) => link.listen(0, '127.0.0.1', resolve));
    databaseUrl.port = String((link.address() as AddressInfo).port);
    const started = createDataSource({ databaseUrl: databaseUrl.href, dataDir: 'unused' });
    await expect(started).rejects.toThrow('Query read timeout');
    expect(greeted).toBe(1);
    link.close();
  }, 30_000);

  it('report a server that is away, without what it takes to get in', async () => {
    const databaseUrl = 'postgres://me:secret-word@127.0.0.1:1/nowhere';
    const error: unknown = await createDataSource({ databaseUrl, dataDir: 'unused' }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: 'ECONNREFUSED' });
    expect(JSON.stringify(error) + String(error)).not.toContain('secret-word');
  });
});

describe("The library's migrations in a DataSource of a user", () => {
  it('need nothing of this application', async () => {
    const server = await startPostgres();
    const dataSource = new DataSource({
      type: 'postgres',
      url: await server.createDatabase(),
      extra: quotaPostgresOptions,
      entities: quotaEntities,
      migrations: quotaMigrations,
    });
    try {
      await dataSource.initialize();
      await dataSource.runMigrations();
      const { upQueries } = await dataSource.driver.createSchemaBuilder().log();
      expect(upQueries).toEqual([]);
      const store = new PostgresQuotaStore(dataSource);
      expect((await store.change('a', {}, { actor: 'x' })).row.version).toBe(1);
      await undo(dataSource, quotaMigrations.length);
    } finally {
      if (dataSource.isInitialized) await dataSource.destroy();
      await server.stop();
    }
  });

  it('go with entities that the schema is synchronised from', async () => {
    const server = await startPostgres();
    const dataSource = new DataSource({
      type: 'postgres',
      url: await server.createDatabase(),
      entities: quotaEntities,
      synchronize: true,
    });
    try {
      await dataSource.initialize();
      const store = new PostgresQuotaStore(dataSource);
      expect((await store.change('a', {}, { actor: 'x' })).row.quotaMb).toBe(100);
      await expect(dataSource.query('UPDATE tenant_cache_quotas SET quota_mb = 0')).rejects.toThrow(
        'tenant_cache_quotas_quota_mb_check',
      );
    } finally {
      if (dataSource.isInitialized) await dataSource.destroy();
      await server.stop();
    }
  });

  it('are refused by a store on another database', () => {
    const other = { options: { type: 'mysql' } } as unknown as DataSource;
    expect(() => new PostgresQuotaStore(other)).toThrow('must be of type postgres, not mysql');
  });
});
