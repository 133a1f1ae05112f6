import {
  PostgresUsageTracker,
  QuotaUnavailableError,
  quotaEntities,
  quotaPostgresOptions,
} from '@app/quota';
import { randomUUID } from 'node:crypto';
import { DataSource } from 'typeorm';
import { createDataSource } from '../../../src/database/data-source';
import { Scene, type Hold } from '../../contract/usage-tracker/scene';
import { startPostgres, type PostgresServer } from '../../support';
import { startProxy } from '../redis/proxy';
import { expectExact } from './ledger-auditor';

const UNLIMITED = { quotaBytes: 1e12, hardBytes: 1e12 };

let server: PostgresServer;
let url: string;
/** For looking on. */
let probe: DataSource;
let source: DataSource;
/** Statements that trackers have sent, and what is told of each before it goes out. */
let sent = 0;
let onStatement: (n: number) => void = () => undefined;

const connect = async (connectionString = url): Promise<DataSource> => {
  const opened = await new DataSource({
    type: 'postgres',
    entities: quotaEntities,
    extra: { ...quotaPostgresOptions, connectionString },
  }).initialize();
  const { master } = opened.driver as unknown as {
    master: { on(event: 'acquire', listener: () => void): void };
  };
  master.on('acquire', () => onStatement((sent += 1)));
  return opened;
};

const scene = (limits = UNLIMITED, from: DataSource = source): Scene =>
  new Scene(new PostgresUsageTracker(from), `t-${randomUUID()}`, limits);

async function statementsOf(work: () => Promise<unknown>): Promise<number> {
  const before = sent;
  await work();
  return sent - before;
}

const through = ({ tenant, limits }: Scene): Scene =>
  new Scene(new PostgresUsageTracker(source), tenant, limits);

const times = <T>(count: number, make: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => make(i)));

const failureOf = (attempt: Promise<unknown>): Promise<unknown> =>
  attempt.then(
    () => 'done',
    (error: unknown) => error,
  );

beforeAll(async () => {
  server = await startPostgres();
  url = await server.createDatabase();
  probe = await createDataSource({ databaseUrl: url, dataDir: 'unused' });
  source = await connect();
});
afterAll(async () => {
  await source.destroy();
  await probe.destroy();
  await server.stop();
});

describe('calls of one tenant at once', () => {
  it('go in a few statements, each with its own answer', async () => {
    const limit = 30 * 10;
    const s = scene({ quotaBytes: limit, hardBytes: limit });
    let replies: Awaited<ReturnType<Scene['reserve']>>[] = [];
    const reserves = await statementsOf(async () => {
      replies = await times(49, (i) => s.reserve(`k${i}`, 10));
    });
    // The first alone, then twelve at a time.
    expect(reserves).toBe(5);
    expect(replies.filter(({ outcome }) => outcome === 'reserved')).toHaveLength(30);
    // In the order in which they came.
    const outcomes = replies.map(({ outcome }) => outcome);
    expect(outcomes.slice(0, 30)).toEqual(Array(30).fill('reserved'));
    expect(await s.used()).toEqual([0, limit]);
    await expectExact(probe, s.tenant);
  });

  it('of all kinds, refused and admitted, do not mix up their answers', async () => {
    const s = scene({ quotaBytes: 100, hardBytes: 100 });
    await s.put('old', 20);
    await s.put(undefined, 10);
    const [kept, freed] = [await s.hold('kept', 10), await s.hold('freed', 15)];
    const stranger: Hold = { ...kept, id: 'stranger', key: 'x', generation: 'another life' };
    let answers: unknown[] = [];
    const statements = await statementsOf(async () => {
      answers = await Promise.all([
        s.check('alone', 1),
        s.reserve('kept', 10, { id: kept.id }),
        failureOf(s.reserve('kept', 11, { id: kept.id })),
        s.commit(kept, 12),
        s.commit(stranger),
        s.release(freed),
        s.reserve('huge', 60),
        s.remove('old'),
        s.refund(4),
        s.reserve('huge', 60),
        s.check('more', 23),
        s.check('more', 22),
      ]);
    });
    expect(statements).toBe(2);
    expect(answers).toMatchObject([
      { outcome: 'reserved' },
      { outcome: 'reserved', usage: { committedBytes: 30, reservedBytes: 25 } },
      { code: 'reservation_conflict' },
      { outcome: 'committed', replaced: false, usage: { committedBytes: 42, reservedBytes: 15 } },
      { outcome: 'bounced' },
      { outcome: 'released', usage: { committedBytes: 42, reservedBytes: 0 } },
      { outcome: 'rejected', usedAfterBytes: 102 },
      { removed: true, freedBytes: 20 },
      { freedBytes: 4, usage: { committedBytes: 18, reservedBytes: 0 } },
      { outcome: 'reserved', usedAfterBytes: 78 },
      { outcome: 'rejected', usedAfterBytes: 101 },
      { outcome: 'reserved', usedAfterBytes: 100 },
    ]);
    await expectExact(probe, s.tenant);
  });

  it('make a tenant that nobody knew, once', async () => {
    for (let round = 0; round < 5; round++) {
      const s = scene();
      const other = through(s);
      const holds = await times(24, (i) => (i % 2 ? s : other).hold(`k${i}`, 10));
      expect(new Set(holds.map(({ generation }) => generation)).size).toBe(1);
      expect(await s.used()).toEqual([0, 240]);
    }
  });

  it('of several tenants go beside each other', async () => {
    const scenes = [scene(), scene(), scene()];
    await Promise.all(scenes.map((s) => times(20, (i) => s.put(`k${i}`, i))));
    for (const s of scenes) expect(await s.used()).toEqual([190, 0]);
  });
});

describe('one call that the database refuses', () => {
  beforeAll(async () => {
    await probe.query(`CREATE FUNCTION refuse_bad() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'not this one'; END $$`);
    await probe.query(`CREATE TRIGGER refuse_bad BEFORE INSERT ON quota_ledger_holds
      FOR EACH ROW WHEN (NEW.id LIKE 'bad%') EXECUTE FUNCTION refuse_bad()`);
  });
  afterAll(() => probe.query('DROP FUNCTION refuse_bad CASCADE'));

  it('fails alone: nothing of it is done, and all of the others beside it', async () => {
    const s = scene();
    await s.put('first', 1);
    const answers = await times(40, (i) =>
      failureOf(s.reserve(`k${i}`, 10, { id: i % 13 === 5 ? `bad-${i}` : `good-${i}` })),
    );
    const failed = answers.flatMap((answer, i) =>
      answer instanceof QuotaUnavailableError ? [{ i, answer }] : [],
    );
    expect(failed.map(({ i }) => i)).toEqual([5, 18, 31]);
    for (const { answer } of failed) {
      expect(answer).toMatchObject({ applied: 'no', contact: 'answered', operation: 'reserve' });
    }
    expect(await s.used()).toEqual([1, 370]);
    await expectExact(probe, s.tenant);
  });
});

describe('what is in the way of all', () => {
  it('fails all, each by its own name and not applied', async () => {
    const s = scene();
    const hold = await s.hold('k', 10);
    const runner = probe.createQueryRunner();
    await runner.startTransaction();
    await runner.query('SELECT 1 FROM quota_ledger WHERE tenant_id = $1 FOR UPDATE', [s.tenant]);
    try {
      const failed = await Promise.all([
        failureOf(s.reserve('a', 1)),
        failureOf(s.reserve('b', 1)),
        failureOf(s.commit(hold)),
        failureOf(s.remove('k')),
      ]);
      const no = { applied: 'no', contact: 'answered' };
      expect(failed).toMatchObject([
        { operation: 'reserve', ...no },
        { operation: 'reserve', ...no },
        { operation: 'commit', ...no },
        { operation: 'remove', ...no },
      ]);
      expect(new Set(failed).size).toBe(4);
    } finally {
      await runner.rollbackTransaction();
      await runner.release();
    }
    expect(await s.used()).toEqual([0, 10]);
  });

  it.each(['before', 'after'] as const)(
    'a connection cut %s: unknown for all, and sent again with the same ids each has one effect',
    async (when) => {
      const proxy = await startProxy(server.port);
      const to = new URL(url);
      to.port = String(proxy.port);
      const far = await connect(to.href);
      try {
        const s = scene(UNLIMITED, far);
        await s.put('gone', 5);
        const send = () =>
          times(8, (i) =>
            failureOf(
              i === 3
                ? s.remove('gone', { id: 'removal' })
                : s.reserve(`k${i}`, 10, { id: `id-${i}` }),
            ),
          );
        const second = sent + 2;
        onStatement = (n) => {
          if (n === second) proxy.cutNext(when);
        };
        const [first, ...cut] = await send();
        expect(proxy.cuts).toBe(1);
        expect(first).toBe('done');
        expect(cut).toMatchObject(Array(7).fill({ applied: 'unknown' }));
        expect(await through(s).used()).toEqual(when === 'before' ? [5, 10] : [0, 70]);
        const again = await send();
        expect(again).toEqual(Array(8).fill('done'));
        expect(await s.used()).toEqual([0, 70]);
        await expectExact(probe, s.tenant);
      } finally {
        onStatement = () => undefined;
        await far.destroy();
        await proxy.close();
      }
    },
  );
});

it('leave the new versions of a hot row on its page', async () => {
  const s = scene();
  await times(48, async (lane) => {
    for (let i = 0; i < 25; i++) await s.put(`k${lane}-${i}`, 10 + ((lane + i * 7) % 90));
  });
  const changes = async (): Promise<Record<'all' | 'hot', number>> => {
    const [row] = await probe.query<Record<'all' | 'hot', string>[]>(
      `SELECT n_tup_upd AS all, n_tup_hot_upd AS hot FROM pg_stat_user_tables
       WHERE relname = 'quota_ledger'`,
    );
    return { all: Number(row?.all), hot: Number(row?.hot) };
  };
  // Sessions tell what they did when they end.
  await source.destroy();
  source = await connect();
  const { all, hot } = await changes();
  expect(all).toBeGreaterThan(2_000);
  expect(hot / all).toBeGreaterThan(0.99);
});
