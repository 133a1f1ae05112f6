import {
  PostgresDecisionStore,
  PostgresRolloutStore,
  QuotaDecision,
  Simulation,
  type DecisionRecord,
} from '@app/quota';
import { describeRolloutStore } from '../../contract/rollout-store.contract';
import { DATABASES, type TestDatabase } from './databases';

const always = { from: 0, to: 4_000_000_000_000 };

/** Used before 80, 30 more, of 100: refused, or would have been. */
function record(tenant: string, at: number, over: Partial<DecisionRecord> = {}): DecisionRecord {
  return {
    ...{ tenant, at, bytes: 30, deltaBytes: 30, usedBeforeBytes: 80, quotaBytes: 90 },
    ...{ hardBytes: 100, decision: QuotaDecision.REJECT, mode: 'shadow', ...over },
  };
}

const allowed = { decision: QuotaDecision.ALLOW, usedBeforeBytes: 0 };

describe.each(DATABASES)('On %s the record of decisions', (_name, open) => {
  let database: TestDatabase;
  let store: PostgresDecisionStore;
  beforeAll(async () => {
    database = await open();
    store = new PostgresDecisionStore(database.dataSource);
  }, 60_000);
  afterAll(() => database.close());
  beforeEach(() => database.dataSource.query('TRUNCATE quota_decisions RESTART IDENTITY'));

  const count = async (): Promise<number> => {
    const [row] = await database.dataSource.query<{ count: string }[]>(
      'SELECT count(*) FROM quota_decisions',
    );
    return Number(row?.count);
  };

  it('gives back what was written, by tenant and time, in pages', async () => {
    const unasked = { usedBeforeBytes: null, quotaBytes: null, mode: 'enforce' } as const;
    const rows = [
      ...[record('b', 1_767_225_600_001), record('a', 1_767_225_600_002, allowed)],
      ...[record('b', 1_767_225_600_000, unasked), record('b', 1_767_225_600_001, { bytes: 31 })],
    ];
    await store.write(rows, 0);
    const [first, second, third, fourth] = [rows[1], rows[2], rows[0], rows[3]];
    const all = await store.page({ span: always, after: null, limit: 10 });
    expect(all).toEqual({ rows: [first, second, third, fourth], next: null });
    const page = await store.page({ span: always, after: null, limit: 3 });
    expect(page.rows).toHaveLength(3);
    const rest = await store.page({ span: always, after: page.next, limit: 3 });
    expect(rest).toEqual({ rows: [fourth], next: null });
    const after = { tenant: 'a', at: null, id: 0 };
    expect((await store.page({ span: always, after, limit: 10 })).rows).toHaveLength(3);
    const one = await store.page({ span: always, after: null, limit: 10, tenant: 'a' });
    expect(one.rows).toEqual([first]);
    const span = { from: 1_767_225_600_001, to: 1_767_225_600_001 };
    expect((await store.page({ span, after: null, limit: 10 })).rows).toEqual([third, fourth]);
  });

  it('adds up whom it concerned, how often, and how far beyond', async () => {
    await store.write(
      [
        ...[
          record('a', 10, allowed),
          record('a', 20),
          record('a', 30, { bytes: 50, deltaBytes: 50 }),
        ],
        ...[record('b', 40, { mode: 'enforce' }), record('c', 50, allowed)],
      ],
      4,
    );
    expect(await store.coverage(always)).toEqual({
      ...{ writes: 5, refusedWrites: 3, tenants: 3, refusedTenants: 2, refusedBytes: 110 },
      ...{ missedWrites: 4, oldestAt: 10, trimmed: false },
    });
    const first = await store.impact({ span: always, after: '', limit: 1 });
    expect(first).toEqual({
      tenants: [
        {
          ...{ tenant: 'a', writes: 3, shadowRefusals: 2, refusals: 0, refusedBytes: 80 },
          ...{ furthestBeyondBytes: 30, firstAt: 20, lastAt: 30 },
        },
      ],
      next: 'a',
    });
    expect(await store.impact({ span: always, after: 'a', limit: 1 })).toMatchObject({
      tenants: [{ tenant: 'b', shadowRefusals: 0, refusals: 1, furthestBeyondBytes: 10 }],
      next: null,
    });
    const nothing = await store.coverage({ from: 60, to: 70 });
    expect(nothing).toMatchObject({ writes: 0, refusedBytes: 0, missedWrites: 0, oldestAt: 10 });
  });

  it('keeps the latest rows within the bounds, whoever trims', async () => {
    const rows = Array.from({ length: 5_000 }, (_, i) => record('a', 1_000 + i));
    await store.write(rows, 0);
    const bounds = { maxRows: 1_000, before: 0 };
    expect(await store.trim(bounds)).toBe(true);
    expect(await count()).toBe(3_000);
    // What another one is removing is left to it.
    const trim = async (): Promise<void> => {
      while (await store.trim(bounds));
    };
    await Promise.all([trim(), trim(), trim()]);
    await trim();
    expect(await count()).toBe(1_000);
    expect(await store.coverage(always)).toMatchObject({ oldestAt: 5_000, trimmed: true });
    expect(await store.trim({ maxRows: 1_000, before: 5_990 })).toBe(false);
    expect(await count()).toBe(10);
  });

  it('is replayed page by page, within its bound, and goes on from there', async () => {
    const tenants = Array.from({ length: 6 }, (_, i) => `t${i}`);
    const rows = tenants.flatMap((tenant, n) =>
      Array.from({ length: 1_000 }, (_, i) =>
        record(tenant, i, { usedBeforeBytes: i, deltaBytes: 1, bytes: 1 + n, hardBytes: 5_000 }),
      ),
    );
    await store.write(
      rows.toSorted((a, b) => a.at - b.at),
      0,
    );
    const query = { span: always, hardBytes: 900, percent: 100, limit: 2 };
    const all = await new Simulation(store).run(query);
    expect(all).toMatchObject({
      ...{ rows: 6_000, tenants: 6, refusedTenants: 6, refusals: 600, next: null },
      listed: [
        { tenant: 't5', writes: 1_000, refusals: 100, refusedBytes: 600, firstAt: 900 },
        { tenant: 't4', refusedBytes: 500 },
      ],
    });
    const bounded = await new Simulation(store, 3_000).run(query);
    expect(bounded).toMatchObject({ rows: 3_000, tenants: 3, refusals: 300, next: 't2' });
    const rest = await new Simulation(store, 3_000).run({ ...query, after: 't2' });
    expect(rest).toMatchObject({ rows: 3_000, tenants: 3, refusals: 300 });
  });

  it('is replayed for one at a time', async () => {
    await store.write([record('a', 1)], 0);
    const simulation = new Simulation(store);
    const query = { span: always, hardBytes: null, percent: 100, limit: 1 };
    const [one, other] = await Promise.allSettled([simulation.run(query), simulation.run(query)]);
    expect([one.status, other.status]).toEqual(['fulfilled', 'rejected']);
    expect(await simulation.run(query)).toMatchObject({ rows: 1 });
  });

  describeRolloutStore('PostgresRolloutStore', () => ({
    store: new PostgresRolloutStore(database.dataSource),
  }));
});
