import { PostgresQuotaStore, QuotaUnavailableError } from '@app/quota';
import { randomUUID } from 'node:crypto';
import type { DataSource } from 'typeorm';
import { createDataSource } from '../../../src/database/data-source';
import { startPostgres, waitUntil, type PostgresServer } from '../../support';

const ACTOR = { actor: 'ops@example.com' };

describe('PostgresQuotaStore on a server', () => {
  let server: PostgresServer;
  let databaseUrl: string;
  let dataSource: DataSource;
  let store: PostgresQuotaStore;
  let tenant: string;
  beforeAll(async () => {
    server = await startPostgres();
    databaseUrl = await server.createDatabase();
    dataSource = await createDataSource({ databaseUrl, dataDir: 'unused' });
    store = new PostgresQuotaStore(dataSource);
  });
  beforeEach(() => {
    tenant = randomUUID();
  });
  afterAll(async () => {
    await dataSource.destroy();
    await server.stop();
  });

  const failure = async (attempt: Promise<unknown>): Promise<QuotaUnavailableError> => {
    const error: unknown = await attempt.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(QuotaUnavailableError);
    return error as QuotaUnavailableError;
  };

  it('keeps who changed what, from, to and when', async () => {
    await store.change(tenant, { quotaMb: 5 }, ACTOR);
    await store.change(tenant, { quotaMb: 6, mode: 'shadow' }, { actor: 'b' });
    await store.delete(tenant, { actor: 'c' });
    const trail = await dataSource.query<Record<string, unknown>[]>(
      'SELECT * FROM quota_changes WHERE tenant_id = $1 ORDER BY id',
      [tenant],
    );
    const five = {
      quota_mb: 5,
      overage_allowed: false,
      overage_limit_mb: 10,
      mode: null,
      version: 1,
    };
    const six = { ...five, quota_mb: 6, mode: 'shadow', version: 2 };
    expect(trail).toMatchObject([
      { actor: ACTOR.actor, action: 'create', before: null, after: five },
      { actor: 'b', action: 'update', before: five, after: six },
      { actor: 'c', action: 'delete', before: six, after: null },
    ]);
    expect(trail[0]?.['changed_at']).toBeInstanceOf(Date);
  });

  it('changes nothing when the audit trail cannot be written', async () => {
    const { row, stamp } = await store.change(tenant, { quotaMb: 5 }, ACTOR);
    await dataSource.query('ALTER TABLE quota_changes RENAME TO elsewhere');
    try {
      const error = await failure(store.change(tenant, { quotaMb: 6 }, ACTOR));
      expect(error).toMatchObject({ operation: 'quota_change', applied: 'no' });
      expect((error.cause as Error).message).toContain('quota_changes');
      await failure(store.delete(tenant, ACTOR));
    } finally {
      await dataSource.query('ALTER TABLE elsewhere RENAME TO quota_changes');
    }
    expect(await store.load(tenant)).toEqual({ row, stamp });
  });

  it('gives stamps in the order of the commits, across instances', async () => {
    const other = await createDataSource({ databaseUrl, dataDir: 'unused' });
    const stores = [store, new PostgresQuotaStore(other)];
    const writing = new AbortController();
    const seen: { stamp: number; version: number }[] = [];
    const reader = (async () => {
      while (!writing.signal.aborted) {
        const { row, stamp } = await store.load(tenant);
        seen.push({ stamp, version: row?.version ?? 0 });
      }
    })();
    for (let round = 0; round < 4; round++) {
      await Promise.all(
        Array.from({ length: 50 }, (_, i) => stores[i % 2]!.change(tenant, {}, ACTOR)),
      );
    }
    writing.abort();
    await reader;
    // A stamp that came out late would show an older one after a newer version, or the reverse.
    expect(seen).toEqual(seen.toSorted((a, b) => a.stamp - b.stamp || a.version - b.version));
    expect(new Set(seen.map(({ stamp }) => stamp)).size).toBe(
      new Set(seen.map(({ version }) => version)).size,
    );
    await other.destroy();
  });

  it('outlives a row inserted by hand in the middle of a create', async () => {
    const byHand = dataSource.createQueryRunner();
    await byHand.startTransaction();
    await byHand.query('INSERT INTO tenant_cache_quotas (tenant_id, quota_mb) VALUES ($1, 7)', [
      tenant,
    ]);
    const change = store.change(tenant, { quotaMb: 8 }, ACTOR);
    await waitUntil(async () => (await waiting()) > 0);
    await byHand.commitTransaction();
    await byHand.release();
    const { row, created } = await change;
    expect(row).toMatchObject({ quotaMb: 8, version: 2 });
    expect(created).toBe(false);
  });

  const waiting = async (): Promise<number> => {
    const [row] = await dataSource.query<{ n: number }[]>(
      `SELECT count(*)::int AS n FROM pg_stat_activity
       WHERE wait_event_type = 'Lock' AND datname = current_database()`,
    );
    return row?.n ?? 0;
  };

  it('holds up nobody else’s tenant', async () => {
    const stuck = dataSource.createQueryRunner();
    await stuck.startTransaction();
    await store.change(tenant, {}, ACTOR);
    await stuck.query('SELECT 1 FROM tenant_cache_quotas WHERE tenant_id = $1 FOR UPDATE', [
      tenant,
    ]);
    // More than there are connections: they must not all be taken by one tenant.
    const late = Promise.all(
      Array.from({ length: 30 }, () => failure(store.change(tenant, {}, ACTOR))),
    );
    await waitUntil(async () => (await waiting()) > 0);
    expect(await waiting()).toBe(1);
    await store.change(randomUUID(), {}, ACTOR);
    expect((await store.load(tenant)).row?.version).toBe(1);
    // The statement timeout ends the wait; the server said so, hence nothing was done.
    expect((await late).map(({ applied }) => applied)).toEqual(Array(30).fill('no'));
    await stuck.rollbackTransaction();
    await stuck.release();
    expect((await store.change(tenant, {}, ACTOR)).row.version).toBe(2);
  });

  it.each([
    ['quota_mb = 0', 'tenant_cache_quotas_quota_mb_check', 'quota_mb'],
    ['overage_limit_mb = -5', 'tenant_cache_quotas_overage_check', 'overage_limit_mb'],
    [`mode = 'whatever'`, 'tenant_cache_quotas_mode_check', 'mode'],
    ['current_usage_bytes = -1', 'tenant_cache_quotas_usage_check', 'current_usage_bytes'],
    ['current_usage_bytes = 9007199254740992', 'tenant_cache_quotas_usage_check', '2^53'],
  ])('takes a row with %s for an error, not for a quota', async (poison, constraint, named) => {
    const own = await server.createDatabase();
    const poisoned = await createDataSource({ databaseUrl: own, dataDir: 'unused' });
    const other = new PostgresQuotaStore(poisoned);
    await other.change(tenant, {}, ACTOR);
    await poisoned.query(`ALTER TABLE tenant_cache_quotas DROP CONSTRAINT ${constraint}`);
    await poisoned.query(`UPDATE tenant_cache_quotas SET ${poison} WHERE tenant_id = $1`, [tenant]);
    const error = await failure(other.load(tenant));
    expect(error.operation).toBe('config');
    expect((error.cause as Error).message).toContain(named);
    expect((error.cause as Error).message).toContain(tenant);
    const mended = { quotaMb: 5, overageLimitMb: 5, mode: null };
    if (!named.startsWith('current') && named !== '2^53') {
      // What a change mends is whole again.
      expect((await other.change(tenant, mended, ACTOR)).row).toMatchObject(mended);
    } else {
      await failure(other.change(tenant, mended, ACTOR));
    }
    await poisoned.destroy();
  });

  it('ends within its deadlines when the server says nothing, and goes on afterwards', async () => {
    await store.change(tenant, {}, ACTOR);
    server.pause();
    const began = performance.now();
    const errors = await Promise.all([
      ...Array.from({ length: 20 }, () => failure(store.load(tenant))),
      ...Array.from({ length: 20 }, () => failure(store.change(tenant, {}, ACTOR))),
    ]);
    expect(performance.now() - began).toBeLessThan(12_000);
    server.resume();
    expect(new Set(errors.map(({ operation }) => operation))).toEqual(
      new Set(['config', 'quota_change']),
    );
    // The connections with an unanswered statement are gone; new ones answer at once.
    const again = performance.now();
    expect((await store.load(tenant)).row).not.toBeNull();
    expect(performance.now() - again).toBeLessThan(2_000);
  });

  it('says unavailable while the server is gone, and comes back with it', async () => {
    const { row } = await store.change(tenant, {}, ACTOR);
    await server.kill();
    expect(await failure(store.load(tenant))).toMatchObject({ operation: 'config' });
    expect(await failure(store.change(tenant, {}, ACTOR))).toMatchObject({ applied: 'no' });
    await failure(store.delete(tenant, ACTOR));
    await failure(store.list({ limit: 1 }));
    await server.restart();
    await waitUntil(async () => (await store.load(tenant)).row !== null);
    expect((await store.load(tenant)).row).toEqual(row);
  });

  it('does not know whether a commit took place that was never answered', async () => {
    await store.change(tenant, {}, ACTOR);
    // Triggered at the commit itself: by then everything else has been said.
    await dataSource.query(`
      CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$`);
    await dataSource.query(`
      CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON quota_changes DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW EXECUTE FUNCTION cut()`);
    const error = await failure(store.change(tenant, {}, ACTOR));
    await dataSource.query('DROP TRIGGER cut ON quota_changes');
    expect(error).toMatchObject({ operation: 'quota_change', applied: 'unknown' });
    expect((await store.change(tenant, {}, ACTOR)).row.version).toBeGreaterThan(1);
  });
});

describe('PostgresQuotaStore without a connection', () => {
  it('says unavailable', async () => {
    const server = await startPostgres();
    const databaseUrl = await server.createDatabase();
    const dataSource = await createDataSource({ databaseUrl, dataDir: 'unused' });
    await dataSource.destroy();
    await server.stop();
    const store = new PostgresQuotaStore(dataSource);
    await expect(store.load('a')).rejects.toBeInstanceOf(QuotaUnavailableError);
  });
});
