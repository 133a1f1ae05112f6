import { randomBytes, randomUUID } from 'node:crypto';
import { QuotaUnavailableError } from '@app/quota';
import type { DataSource } from 'typeorm';
import {
  PostgresEntryRepository,
  type PurgedRow,
} from '../../../src/cache/postgres-entry-repository';
import { startPostgres, waitUntil } from '../../support';
import { createDataSource } from '../../../src/database/data-source';
import { DATABASES, type TestDatabase } from './databases';

const TEXT = 'text/plain';
const MINUTE = 60_000;

describe.each(DATABASES)('PostgresEntryRepository on %s', (_name, open) => {
  let database: TestDatabase;
  let dataSource: DataSource;
  let entries: PostgresEntryRepository;
  let tenant: string;
  beforeAll(async () => {
    database = await open();
    dataSource = database.dataSource;
    entries = new PostgresEntryRepository(dataSource);
  }, 60_000);
  beforeEach(() => {
    tenant = randomUUID();
  });
  afterAll(() => database.close());

  /** Moves a key's expiry, in ms from now, without another write. */
  const expireAt = (key: string, ms: number): Promise<unknown> =>
    dataSource.query(
      `UPDATE cache_entries SET expires_at = clock_timestamp() + $3::int * interval '1 millisecond'
       WHERE tenant_id = $1 AND key = $2`,
      [tenant, Buffer.from(key), ms],
    );

  const rows = async (): Promise<number> => {
    const [row] = await dataSource.query<{ n: number }[]>(
      'SELECT count(*)::int AS n FROM cache_entries WHERE tenant_id = $1',
      [tenant],
    );
    return row?.n ?? -1;
  };

  const purge = async (): Promise<PurgedRow[]> => {
    const purged: PurgedRow[] = [];
    for await (const batch of entries.purge(tenant)) purged.push(...batch);
    return purged;
  };

  it('gives back what it took', async () => {
    const body = randomBytes(1_000);
    const put = await entries.put(tenant, 'k', body, 'image/png', MINUTE);
    expect(put).toEqual({
      version: expect.any(Number),
      replaced: false,
      expiresAt: expect.any(Number),
    });
    expect(Math.abs((put.expiresAt ?? 0) - Date.now() - MINUTE)).toBeLessThan(10_000);
    expect(await entries.get(tenant, 'k')).toEqual({
      body,
      contentType: 'image/png',
      bytes: 1_000,
      expiresAt: put.expiresAt,
    });
  });

  it('knows nothing of other keys and tenants', async () => {
    await entries.put(tenant, 'k', Buffer.from('x'), TEXT);
    expect(await entries.get(tenant, 'K')).toBeNull();
    expect(await entries.get(randomUUID(), 'k')).toBeNull();
    expect(await entries.delete(randomUUID(), 'k')).toEqual({ removed: false, version: 0 });
  });

  it('keeps an entry without a life for good, and an empty one too', async () => {
    const put = await entries.put(tenant, 'k', Buffer.alloc(0), TEXT);
    expect(put).not.toHaveProperty('expiresAt');
    const found = await entries.get(tenant, 'k');
    expect(found).toEqual({ body: Buffer.alloc(0), contentType: TEXT, bytes: 0 });
  });

  it('says what was replaced', async () => {
    const first = await entries.put(tenant, 'k', Buffer.from('a'), TEXT, MINUTE);
    const second = await entries.put(tenant, 'k', Buffer.from('bc'), 'text/csv');
    expect(second).toEqual({ version: expect.any(Number), replaced: true });
    expect(second.version).toBeGreaterThan(first.version);
    expect(await entries.get(tenant, 'k')).toEqual({
      body: Buffer.from('bc'),
      contentType: 'text/csv',
      bytes: 2,
    });
    await entries.delete(tenant, 'k');
    expect((await entries.put(tenant, 'k', Buffer.from('d'), TEXT)).replaced).toBe(false);
  });

  it('lets an entry go when its life is over', async () => {
    await entries.put(tenant, 'k', Buffer.from('a'), TEXT, 30);
    await waitUntil(async () => (await entries.get(tenant, 'k')) === null);
    expect((await entries.page(tenant, null, 10)).entries).toEqual([]);
    expect(await entries.lookup(tenant, ['k'])).toEqual([]);
    expect((await entries.put(tenant, 'k', Buffer.from('b'), TEXT)).replaced).toBe(false);
    await expireAt('k', -1);
    const gone = await entries.delete(tenant, 'k');
    expect(gone.removed).toBe(false);
    expect(gone.version).toBeGreaterThan(0);
  });

  it('deletes once, with a version above that of the write', async () => {
    const put = await entries.put(tenant, 'k', Buffer.from('a'), TEXT);
    const gone = await entries.delete(tenant, 'k');
    expect(gone.removed).toBe(true);
    expect(gone.version).toBeGreaterThan(put.version);
    expect(await entries.get(tenant, 'k')).toBeNull();
    expect(await entries.delete(tenant, 'k')).toEqual({ removed: false, version: 0 });
    const anew = await entries.put(tenant, 'k', Buffer.from('b'), TEXT);
    expect(anew.version).toBeGreaterThan(gone.version);
  });

  it('takes back a write only while it is the latest', async () => {
    const first = await entries.put(tenant, 'k', Buffer.from('a'), TEXT);
    const second = await entries.put(tenant, 'k', Buffer.from('b'), TEXT);
    expect(await entries.undo(tenant, 'k', first.version)).toEqual({ removed: false, version: 0 });
    expect((await entries.get(tenant, 'k'))?.body.toString()).toBe('b');
    const undone = await entries.undo(tenant, 'k', second.version);
    expect(undone.removed).toBe(true);
    expect(undone.version).toBeGreaterThan(second.version);
    expect(await entries.get(tenant, 'k')).toBeNull();
    expect(await entries.undo(tenant, 'k', second.version)).toEqual({ removed: false, version: 0 });
  });

  it.each([
    ['NUL', 'a\0b'],
    ['NUL alone', '\0'],
    ['what SQL would mind', `'; DROP TABLE cache_entries; -- \\x00 "$1" %_`],
    ['four bytes a letter', '💾'.repeat(128)],
    ['backslashes', '\\x61'],
    ['512 bytes', 'k'.repeat(512)],
    ['a line end and a byte order mark', '\ufeff\r\n'],
  ])('takes keys with %s', async (_what, key) => {
    const { version } = await entries.put(tenant, key, Buffer.from('v'), TEXT);
    expect((await entries.get(tenant, key))?.body.toString()).toBe('v');
    const found = [{ key, bytes: 1, version }];
    expect(await entries.lookup(tenant, [key, 'other'])).toEqual(found);
    expect((await entries.page(tenant, null, 10)).entries).toEqual(found);
    expect((await entries.delete(tenant, key)).removed).toBe(true);
  });

  it('tells apart keys that only differ after a NUL', async () => {
    await entries.put(tenant, 'a\0b', Buffer.from('1'), TEXT);
    await entries.put(tenant, 'a\0c', Buffer.from('2'), TEXT);
    await entries.put(tenant, 'a', Buffer.from('3'), TEXT);
    expect((await entries.get(tenant, 'a\0c'))?.body.toString()).toBe('2');
    expect((await entries.page(tenant, null, 10)).entries).toHaveLength(3);
  });

  it('takes a body of 10 MB, and what else is asked meanwhile is answered', async () => {
    const body = randomBytes(10 * 1_048_576);
    const small = Array.from({ length: 20 }, async (_, i) => {
      const key = `small-${String(i)}`;
      await entries.put(tenant, key, Buffer.from(key), TEXT);
      expect((await entries.get(tenant, key))?.body.toString()).toBe(key);
    });
    await Promise.all([entries.put(tenant, 'big', body, TEXT), ...small]);
    const found = await entries.get(tenant, 'big');
    expect(found?.bytes).toBe(body.length);
    expect(found?.body.equals(body)).toBe(true);
  });

  it('numbers 200 writes and deletes of one key in the order the storage took them', async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        if (i % 3 === 2) return { ...(await entries.delete(tenant, 'hot')), body: null };
        const body = String(i);
        const ttl = i % 2 === 0 ? MINUTE : undefined;
        return { ...(await entries.put(tenant, 'hot', Buffer.from(body), TEXT, ttl)), body };
      }),
    );
    // A delete that found nothing has no place in the order.
    const ordered = outcomes
      .filter(({ version }) => version > 0)
      .toSorted((a, b) => a.version - b.version);
    expect(new Set(ordered.map(({ version }) => version)).size).toBe(ordered.length);
    let live = false;
    for (const outcome of ordered) {
      // What each says of the entry before it must be what the one before it left.
      expect('removed' in outcome ? outcome.removed : outcome.replaced).toBe(live);
      live = outcome.body !== null;
    }
    const last = ordered.at(-1);
    const found = await entries.get(tenant, 'hot');
    expect(found?.body.toString() ?? null).toBe(last?.body);
    expect(await entries.lookup(tenant, ['hot'])).toMatchObject(
      live ? [{ version: last?.version }] : [],
    );
  });

  it('lists live entries page by page, in the order of their bytes', async () => {
    const keys = Array.from({ length: 25 }, (_, i) => `k${String(i).padStart(2, '0')}`);
    for (const key of keys) await entries.put(tenant, key, Buffer.from(key), TEXT, MINUTE);
    await entries.delete(tenant, 'k07');
    await expireAt('k11', -1);
    const found: string[] = [];
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<typeof entries.page>> = await entries.page(tenant, cursor, 6);
      for (const entry of page.entries) {
        expect(entry).toEqual({
          key: expect.any(String),
          bytes: 3,
          version: expect.any(Number),
          expiresAt: expect.any(Number),
        });
        found.push(entry.key);
      }
      cursor = page.next;
    } while (cursor !== null);
    expect(found).toEqual(keys.filter((key) => key !== 'k07' && key !== 'k11'));
  });

  it('looks up nothing among no keys', async () => {
    expect(await entries.lookup(tenant, [])).toEqual([]);
  });

  it('sweeps what has been dead for minutes, in batches, and nothing else', async () => {
    const old = ['e1', 'e2', 'e3', 'd1', 'd2'];
    for (const key of [...old, 'live', 'expired', 'deleted', 'soon'])
      await entries.put(tenant, key, Buffer.from('x'), TEXT);
    for (const key of ['d1', 'd2', 'deleted']) await entries.delete(tenant, key);
    for (const key of old) await expireAt(key, -6 * MINUTE);
    await expireAt('expired', -4 * MINUTE);
    await expireAt('soon', MINUTE);
    expect(await entries.sweep(3)).toBe(3);
    expect(await entries.sweep(3)).toBe(2);
    expect(await entries.sweep(3)).toBe(0);
    expect(await rows()).toBe(4);
    expect((await entries.page(tenant, null, 10)).entries.map(({ key }) => key)).toEqual([
      'live',
      'soon',
    ]);
  });

  it('purges a tenant, and no other', async () => {
    const other = randomUUID();
    await entries.put(other, 'k', Buffer.from('x'), TEXT);
    for (let i = 0; i < 5; i++) await entries.put(tenant, String(i), Buffer.from('x'), TEXT);
    await entries.delete(tenant, '0');
    const purged = await purge();
    expect(purged.map(({ key }) => key)).toEqual(['1', '2', '3', '4']);
    expect(await purge()).toEqual([]);
    expect(await entries.page(tenant, null, 10)).toEqual({ entries: [], next: null });
    expect(await entries.get(other, 'k')).not.toBeNull();
  });

  it('purges more rows than go into one statement', async () => {
    await dataSource.query(
      `INSERT INTO cache_entries (tenant_id, key, body, bytes, content_type, version)
       SELECT $1, convert_to(i::text, 'UTF8'), '', 0, 'x', 1 FROM generate_series(1, 1234) i`,
      [tenant],
    );
    expect(await purge()).toHaveLength(1_234);
    expect(await entries.page(tenant, null, 10)).toEqual({ entries: [], next: null });
  });

  it('purges nothing that is written after it began, and comes to an end', async () => {
    for (let i = 0; i < 600; i++) await entries.put(tenant, String(i), Buffer.from('x'), TEXT);
    const purging = entries.purge(tenant);
    expect((await purging.next()).value).toHaveLength(500);
    await entries.put(tenant, '0', Buffer.from('new'), TEXT);
    await entries.put(tenant, '99', Buffer.from('new'), TEXT);
    const rest = await purging.next();
    expect((rest.value as PurgedRow[]).length).toBeLessThan(100);
    expect((await purging.next()).done).toBe(true);
    const left = await entries.page(tenant, null, 10);
    expect(left.entries.map(({ key }) => key)).toEqual(['0', '99']);
  });
});

describe('PostgresEntryRepository and a server in trouble', () => {
  it('gives a write that waited for a purged row a version above its removal', async () => {
    const server = await startPostgres();
    const databaseUrl = await server.createDatabase();
    const dataSource = await createDataSource({ databaseUrl, dataDir: 'unused' });
    try {
      const entries = new PostgresEntryRepository(dataSource);
      const waiting = (count: number): Promise<void> =>
        waitUntil(async () => {
          const [row] = await dataSource.query<{ n: number }[]>(
            `SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'`,
          );
          return row?.n === count;
        });
      await entries.put('t', 'k', Buffer.from('old'), TEXT);
      const holder = dataSource.createQueryRunner();
      await holder.startTransaction();
      await holder.query(`SELECT 1 FROM cache_entries WHERE tenant_id = 't' FOR UPDATE`);
      const purging = entries.purge('t').next();
      await waiting(1);
      const writing = entries.put('t', 'k', Buffer.from('new'), TEXT);
      await waiting(2);
      await holder.commitTransaction();
      await holder.release();
      const { value: removed } = await purging;
      const { version } = await writing;
      expect(version).toBeGreaterThan((removed as PurgedRow[])[0]!.version);
      expect((await entries.get('t', 'k'))?.body.toString()).toBe('new');
    } finally {
      await dataSource.destroy();
      await server.stop();
    }
  }, 60_000);

  it('bounds a batch by its bytes, ends in time and says what it knows', async () => {
    const server = await startPostgres();
    const databaseUrl = await server.createDatabase();
    const dataSource = await createDataSource({ databaseUrl, dataDir: 'unused' });
    try {
      const entries = new PostgresEntryRepository(dataSource);
      const body = Buffer.alloc(30 * 1_048_576);
      for (const key of ['a', 'b', 'c', 'd']) await entries.put('t', key, body, TEXT);
      await dataSource.query(`UPDATE cache_entries SET expires_at = now() - interval '1 hour'`);
      expect(await entries.sweep(100)).toBe(3);
      expect(await entries.sweep(100)).toBe(1);

      // The largest write there is, on whatever machine this runs on.
      const largest = randomBytes(100 * 1_048_576);
      await entries.put('t', 'largest', largest, TEXT);
      expect((await entries.get('t', 'largest'))?.body.equals(largest)).toBe(true);

      server.pause();
      const began = performance.now();
      const error: unknown = await entries
        .put('t', 'k', Buffer.from('x'), TEXT)
        .catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(QuotaUnavailableError);
      expect(error).toMatchObject({ operation: 'entry_put', applied: 'unknown' });
      expect(performance.now() - began).toBeLessThan(10_000);
      server.resume();
      await waitUntil(
        async () => (await entries.put('t', 'k', Buffer.from('y'), TEXT)).version > 0,
      );
      await dataSource.query('ALTER TABLE cache_entries RENAME TO elsewhere');
      await expect(entries.get('t', 'k')).rejects.toMatchObject({ applied: 'no' });
    } finally {
      server.resume();
      await dataSource.destroy();
      await server.stop();
    }
  }, 120_000);
});
