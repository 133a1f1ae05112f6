import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { QuotaFilter, QuotaPatch, QuotaStore } from '@app/quota';
import {
  QuotaUnavailableError,
  InvalidTenantError,
  InvalidWriteError,
  MAX_QUOTA_MB,
  QUOTA_PLANS,
  QuotaConflictError,
} from '@app/quota';

export interface QuotaStoreHarness {
  readonly store: QuotaStore;
  close?(): Promise<void>;
}

const ACTOR = { actor: 'contract' };
const PARALLEL = 50;
const MB = 1_048_576;

/** The contract of `QuotaStore`: one suite for every implementation, each test with tenants of its own. */
export function describeQuotaStore(
  name: string,
  makeHarness: () => Promise<QuotaStoreHarness> | QuotaStoreHarness,
): void {
  describe(`${name} keeps the contract of QuotaStore`, () => {
    let harness: QuotaStoreHarness;
    let store: QuotaStore;
    let tenant: string;
    beforeAll(async () => {
      harness = await makeHarness();
      store = harness.store;
    }, 60_000);
    beforeEach(() => {
      tenant = randomUUID();
    });
    afterAll(() => harness.close?.());

    describe('load', () => {
      it('knows nothing of a tenant never set', async () => {
        expect(await store.load(tenant)).toEqual({ row: null, stamp: 0 });
      });

      it('gives what was set, with the stamp of the change', async () => {
        const { row, stamp } = await store.change(tenant, { quotaMb: 500 }, ACTOR);
        expect(await store.load(tenant)).toEqual({ row, stamp });
        expect(stamp).toBeGreaterThan(0);
      });

      it('hands out nothing that could change what is kept', async () => {
        await store.change(tenant, {}, ACTOR);
        const first = await store.load(tenant);
        first.row?.createdAt.setTime(0);
        Object.assign(first.row ?? {}, { quotaMb: 1 });
        const { row } = await store.load(tenant);
        expect(row?.quotaMb).toBe(100);
        expect(row?.createdAt.getTime()).toBeGreaterThan(0);
      });

      it.each(['', 'a b', '-a', 'a'.repeat(129), "a'; --", 'a\0'])(
        'takes no malformed tenant id: %j',
        async (id) => {
          await expect(store.load(id)).rejects.toThrow(InvalidTenantError);
          await expect(store.change(id, {}, ACTOR)).rejects.toThrow(InvalidTenantError);
          await expect(store.delete(id, ACTOR)).rejects.toThrow(InvalidTenantError);
        },
      );
    });

    describe('change', () => {
      it("creates a row with the table's defaults", async () => {
        const { row, created } = await store.change(tenant, {}, ACTOR);
        expect(created).toBe(true);
        expect(row).toMatchObject({
          tenant,
          quotaMb: 100,
          overageAllowed: false,
          overageLimitMb: 10,
          mode: null,
          version: 1,
          currentUsageBytes: 0,
        });
        expect(Math.abs(row.createdAt.getTime() - Date.now())).toBeLessThan(60_000);
        expect(row.updatedAt.getTime()).toBeGreaterThanOrEqual(row.createdAt.getTime());
      });

      it('leaves alone what the patch does not name', async () => {
        const all = {
          quotaMb: 7,
          overageAllowed: true,
          overageLimitMb: 3,
          mode: 'shadow',
        } as const;
        await store.change(tenant, all, ACTOR);
        const { row, created } = await store.change(tenant, { quotaMb: 8 }, ACTOR);
        expect(created).toBe(false);
        expect(row).toMatchObject({ ...all, quotaMb: 8, version: 2 });
        const again = await store.change(tenant, { quotaMb: undefined, overageLimitMb: 0 }, ACTOR);
        expect(again.row).toMatchObject({ ...all, quotaMb: 8, overageLimitMb: 0, version: 3 });
      });

      it('tells a mode of null from none', async () => {
        await store.change(tenant, { mode: 'off' }, ACTOR);
        expect((await store.change(tenant, { quotaMb: 1 }, ACTOR)).row.mode).toBe('off');
        expect((await store.change(tenant, { mode: null }, ACTOR)).row.mode).toBeNull();
        expect((await store.change(tenant, { mode: 'enforce' }, ACTOR)).row.mode).toBe('enforce');
      });

      it('takes the largest values', async () => {
        const largest = { quotaMb: MAX_QUOTA_MB, overageLimitMb: MAX_QUOTA_MB };
        await store.change(tenant, largest, ACTOR);
        expect((await store.load(tenant)).row).toMatchObject(largest);
      });

      it('keeps the time of creation, and moves on that of the change', async () => {
        const first = await store.change(tenant, {}, ACTOR);
        const second = await store.change(tenant, {}, ACTOR);
        expect(second.row.createdAt).toEqual(first.row.createdAt);
        expect(second.row.updatedAt.getTime()).toBeGreaterThanOrEqual(
          first.row.updatedAt.getTime(),
        );
      });

      it.each<[string, unknown]>([
        ['quotaMb', 0],
        ['quotaMb', -1],
        ['quotaMb', 1.5],
        ['quotaMb', Number.NaN],
        ['quotaMb', Infinity],
        ['quotaMb', MAX_QUOTA_MB + 1],
        ['quotaMb', '100'],
        ['quotaMb', null],
        ['overageLimitMb', -1],
        ['overageLimitMb', 0.5],
        ['overageLimitMb', MAX_QUOTA_MB + 1],
        ['overageAllowed', 'yes'],
        ['overageAllowed', null],
        ['mode', 'on'],
        ['mode', ''],
        ['quota_mb', 5],
        ['version', 5],
        ['__proto__', 5],
      ])('refuses %s %p before it does anything', async (where, value) => {
        const before = await store.change(tenant, { quotaMb: 3 }, ACTOR);
        const patch = JSON.parse('{}') as Record<string, unknown>;
        Object.defineProperty(patch, where, { value, enumerable: true });
        const error: unknown = await store
          .change(tenant, patch as QuotaPatch, ACTOR)
          .catch((thrown: unknown) => thrown);
        expect(error).toBeInstanceOf(InvalidWriteError);
        expect((error as InvalidWriteError).input).toEqual({ where, allowed: expect.any(String) });
        expect(await store.load(tenant)).toEqual({ row: before.row, stamp: before.stamp });
      });

      it.each(['', 'a'.repeat(257), 'a\0b', 'a\ud800', 7 as unknown as string])(
        'refuses the actor %j',
        async (actor) => {
          await expect(store.change(tenant, {}, { actor })).rejects.toThrow(InvalidWriteError);
          await expect(store.delete(tenant, { actor })).rejects.toThrow(InvalidWriteError);
          expect((await store.load(tenant)).row).toBeNull();
        },
      );

      it.each([-1, 0.5, Number.NaN, '1' as unknown as number])(
        'refuses the version %p',
        async (expectedVersion) => {
          const options = { ...ACTOR, expectedVersion };
          await expect(store.change(tenant, {}, options)).rejects.toThrow(InvalidWriteError);
          await expect(store.delete(tenant, options)).rejects.toThrow(InvalidWriteError);
        },
      );
    });

    describe('an expected version', () => {
      it('lets the change through when it is the row’s', async () => {
        await store.change(tenant, {}, { ...ACTOR, expectedVersion: 0 });
        const { row } = await store.change(tenant, {}, { ...ACTOR, expectedVersion: 1 });
        expect(row.version).toBe(2);
      });

      it.each([
        [0, 1],
        [2, 1],
        [1, 0],
        [9, 0],
      ])('of %i against a row at %i is a conflict that changes nothing', async (expected, now) => {
        if (now === 1) await store.change(tenant, { quotaMb: 5 }, ACTOR);
        const before = await store.load(tenant);
        const options = { ...ACTOR, expectedVersion: expected };
        for (const attempt of [
          store.change(tenant, { quotaMb: 6 }, options),
          store.delete(tenant, options),
        ]) {
          const error: unknown = await attempt.catch((thrown: unknown) => thrown);
          expect(error).toBeInstanceOf(QuotaConflictError);
          expect(error).toMatchObject({ tenant, currentVersion: now });
        }
        expect(await store.load(tenant)).toEqual(before);
      });

      it.each([0, 1])('lets exactly one of many through, from version %i', async (version) => {
        if (version === 1) await store.change(tenant, {}, ACTOR);
        const results = await Promise.allSettled(
          Array.from({ length: PARALLEL }, (_, i) =>
            store.change(tenant, { quotaMb: i + 1 }, { ...ACTOR, expectedVersion: version }),
          ),
        );
        const winners = results.filter((result) => result.status === 'fulfilled');
        expect(winners).toHaveLength(1);
        for (const result of results) {
          if (result.status === 'rejected')
            expect(result.reason).toBeInstanceOf(QuotaConflictError);
        }
        expect(await store.load(tenant)).toEqual({
          row: winners[0]?.value.row,
          stamp: winners[0]?.value.stamp,
        });
      });
    });

    describe('many at once without an expected version', () => {
      it('all succeed, with versions without gaps and stamps in their order', async () => {
        const results = await Promise.all(
          Array.from({ length: PARALLEL }, (_, i) =>
            store.change(tenant, { quotaMb: i + 1 }, ACTOR),
          ),
        );
        const ordered = results.toSorted((a, b) => a.row.version - b.row.version);
        expect(ordered.map(({ row }) => row.version)).toEqual(
          Array.from({ length: PARALLEL }, (_, i) => i + 1),
        );
        const stamps = ordered.map(({ stamp }) => stamp);
        expect(stamps).toEqual(stamps.toSorted((a, b) => a - b));
        expect(new Set(stamps).size).toBe(PARALLEL);
        expect(ordered.map(({ created }) => created)).toEqual(
          Array.from({ length: PARALLEL }, (_, i) => i === 0),
        );
        const last = ordered.at(-1);
        expect(await store.load(tenant)).toEqual({ row: last?.row, stamp: last?.stamp });
      });

      it('never let a reader see a stamp fall, whatever is changed and deleted', async () => {
        const writing = new AbortController();
        const seen: number[] = [];
        const reader = (async () => {
          while (!writing.signal.aborted) {
            // With one connection for all, a reader may not get its turn in time.
            const read = await store.load(tenant).catch((error: unknown) => {
              if (error instanceof QuotaUnavailableError) return null;
              throw error;
            });
            if (read !== null) seen.push(read.stamp);
            await new Promise((resolve) => setImmediate(resolve));
          }
        })();
        const stamps = await Promise.all(
          Array.from({ length: PARALLEL }, async (_, i) =>
            i % 3 === 2
              ? ((await store.delete(tenant, ACTOR))?.stamp ?? 0)
              : (await store.change(tenant, {}, ACTOR)).stamp,
          ),
        );
        writing.abort();
        await reader;
        expect(seen.length).toBeGreaterThan(0);
        expect(seen).toEqual(seen.toSorted((a, b) => a - b));
        expect((await store.load(tenant)).stamp).toBe(Math.max(...stamps));
      });
    });

    describe('delete', () => {
      it('of nothing is nothing', async () => {
        expect(await store.delete(tenant, ACTOR)).toBeNull();
        expect(await store.delete(tenant, { ...ACTOR, expectedVersion: 0 })).toBeNull();
        expect(await store.load(tenant)).toEqual({ row: null, stamp: 0 });
      });

      it('leaves a higher stamp behind, and a new row goes on from there', async () => {
        const made = await store.change(tenant, {}, ACTOR);
        const gone = await store.delete(tenant, { ...ACTOR, expectedVersion: 1 });
        expect(gone?.stamp).toBeGreaterThan(made.stamp);
        expect(await store.load(tenant)).toEqual({ row: null, stamp: gone?.stamp });
        expect(await store.delete(tenant, ACTOR)).toBeNull();
        const anew = await store.change(tenant, {}, ACTOR);
        expect(anew.created).toBe(true);
        expect(anew.row).toMatchObject({ version: 1, quotaMb: 100 });
        expect(anew.stamp).toBeGreaterThan(gone?.stamp ?? Infinity);
      });
    });

    describe('list', () => {
      it('pages through the tenants in the order of their bytes', async () => {
        // Sorts behind every UUID, so that these are the last ones.
        const prefix = `z${tenant}`;
        const ids = ['-', '.', '0', 'A', 'B', 'Z', '_', 'a', 'ab', 'b'].map((x) => prefix + x);
        for (const id of ids.toReversed()) await store.change(id, {}, ACTOR);
        const found: string[] = [];
        let after = prefix;
        for (;;) {
          const page = await store.list({ after, limit: 3 });
          expect(page.rows.length).toBeLessThanOrEqual(3);
          found.push(...page.rows.map((row) => row.tenant));
          if (page.next === null) break;
          expect(page.next).toBe(found.at(-1));
          after = page.next;
        }
        expect(found).toEqual(ids);
        const whole = await store.list({ after: prefix, limit: ids.length });
        expect(whole.next).toBeNull();
        expect(whole.rows).toHaveLength(ids.length);
        expect(whole.rows[0]).toEqual((await store.load(ids[0]!)).row);
        for (const id of ids) await store.delete(id, ACTOR);
      });

      it('begins at the beginning', async () => {
        await store.change(`0${tenant}`, {}, ACTOR);
        const { rows } = await store.list({ limit: 1 });
        expect(rows).toHaveLength(1);
        expect(rows[0]!.tenant <= `0${tenant}`).toBe(true);
      });

      it('lists those that a filter says, page by page', async () => {
        const prefix = `z${tenant}`;
        const rows: [string, QuotaPatch, number][] = [
          ['a', { quotaMb: 1 }, MB],
          ['b', { quotaMb: 1, mode: 'shadow' }, MB + 1],
          ['c', QUOTA_PLANS.starter, 80 * MB],
          ['d', { ...QUOTA_PLANS.starter, overageAllowed: false, mode: 'off' }, 80 * MB - 1],
          ['e', { quotaMb: MAX_QUOTA_MB }, Number.MAX_SAFE_INTEGER],
        ];
        for (const [id, patch, used] of rows) {
          await store.change(prefix + id, patch, ACTOR);
          await store.recordUsage([prefix + id], async () => new Map([[prefix + id, used]]));
        }
        const listed = async (filter: QuotaFilter): Promise<string> => {
          const found: string[] = [];
          for (let after = prefix; ;) {
            const page = await store.list({ ...filter, after, limit: 2 });
            found.push(...page.rows.map((row) => row.tenant.slice(prefix.length)));
            if (page.next === null) return found.join('');
            after = page.next;
          }
        };
        expect(await listed({ over: true })).toBe('be');
        expect(await listed({ over: false })).toBe('abcde');
        expect(await listed({ nearPercent: 80 })).toBe('abce');
        expect(await listed({ nearPercent: 100 })).toBe('abe');
        expect(await listed({ nearPercent: 0 })).toBe('abcde');
        expect(await listed({ mode: 'shadow' })).toBe('b');
        expect(await listed({ mode: null })).toBe('ace');
        expect(await listed({ plan: 'starter' })).toBe('c');
        expect(await listed({ nearPercent: 79, mode: 'off' })).toBe('d');
        for (const [id] of rows) await store.delete(prefix + id, ACTOR);
      });

      it.each([
        ['nearPercent', 100.5],
        ['nearPercent', Number.NaN],
        ['over', 'yes'],
        ['mode', 'on'],
        ['plan', 'constructor'],
      ])('refuses the filter %s %p', async (name, value) => {
        await expect(store.list({ limit: 1, [name]: value })).rejects.toThrow(InvalidWriteError);
      });

      it.each([0, -1, 1.5, 1_001, Number.NaN])('refuses the limit %p', async (limit) => {
        await expect(store.list({ limit })).rejects.toThrow(InvalidWriteError);
      });

      it('refuses to go on after what is no tenant id', async () => {
        await expect(store.list({ after: 'a\0', limit: 1 })).rejects.toThrow(InvalidTenantError);
      });
    });

    describe('changes', () => {
      it('tells who changed what, from, to and when, the latest first, beyond the end', async () => {
        const limits = { quotaMb: 5, overageAllowed: false, overageLimitMb: 10 };
        const made = await store.change(tenant, { quotaMb: 5 }, { actor: 'ann' });
        const changed = await store.change(tenant, { mode: 'shadow' }, { actor: 'bob' });
        const deleted = await store.delete(tenant, { actor: 'cid' });
        const [first, second] = [
          { ...limits, mode: null, version: 1 },
          { ...limits, mode: 'shadow', version: 2 },
        ];
        const changedAt = expect.any(Date) as Date;
        const records = [
          ...[{ action: 'delete', actor: 'cid', before: second, after: null }],
          ...[{ action: 'update', actor: 'bob', before: first, after: second }],
          ...[{ action: 'create', actor: 'ann', before: null, after: first }],
        ].map((record, i) => ({
          ...record,
          ...{ stamp: [deleted?.stamp, changed.stamp, made.stamp][i], changedAt },
        }));
        const whole = await store.changes(tenant, { limit: 3 });
        expect(whole).toEqual({ changes: records, next: null });
        expect(Date.now() - Number(whole.changes[0]?.changedAt)).toBeLessThan(60_000);
        const page = await store.changes(tenant, { limit: 2 });
        expect(page).toEqual({ changes: records.slice(0, 2), next: changed.stamp });
        const rest = await store.changes(tenant, { limit: 2, before: changed.stamp });
        expect(rest).toEqual({ changes: records.slice(2), next: null });
      });

      it('has none of others, nor of a tenant never set', async () => {
        await store.change(`x${tenant}`, {}, ACTOR);
        expect(await store.changes(tenant, { limit: 1 })).toEqual({ changes: [], next: null });
      });

      it.each([
        { limit: 0 },
        { limit: 1_001 },
        { limit: 1, before: -1 },
        { limit: 1, before: 0.5 },
      ])('refuses %j', async (query) => {
        await expect(store.changes(tenant, query)).rejects.toThrow(InvalidWriteError);
        await expect(store.changes('a b', { limit: 1 })).rejects.toThrow(InvalidTenantError);
      });
    });

    describe('recordUsage', () => {
      const others = (count: number) => Array.from({ length: count }, () => randomUUID());
      const saying = (bytes: number) => async (names: readonly string[]) =>
        new Map(names.map((name) => [name, bytes]));

      it('writes what is read into the rows there are, and nothing else of them', async () => {
        const [other, stranger] = others(2) as [string, string];
        await store.change(tenant, { quotaMb: 7 }, ACTOR);
        await store.change(other, {}, ACTOR);
        const before = await store.load(tenant);
        const asked: string[] = [];
        const changed = await store.recordUsage([tenant, other, stranger], async (names) => {
          asked.push(...names);
          return new Map([[tenant, 123]]);
        });
        expect(changed).toBe(1);
        expect(asked.toSorted()).toEqual([tenant, other].toSorted());
        const { row, stamp } = await store.load(tenant);
        expect({ row, stamp }).toEqual({
          row: { ...before.row, currentUsageBytes: 123 },
          stamp: before.stamp,
        });
        expect((await store.load(other)).row?.currentUsageBytes).toBe(0);
        expect((await store.load(stranger)).row).toBeNull();
      });

      it('changes only rows that say something else', async () => {
        await store.change(tenant, {}, ACTOR);
        expect(await store.recordUsage([tenant], saying(5))).toBe(1);
        expect(await store.recordUsage([tenant], saying(5))).toBe(0);
        expect(await store.recordUsage([tenant], saying(0))).toBe(1);
        expect(await store.recordUsage([], saying(1))).toBe(0);
        expect(await store.recordUsage([tenant], async () => new Map())).toBe(0);
      });

      it('does not write an earlier reading over a later one', async () => {
        await store.change(tenant, {}, ACTOR);
        const slow = store.recordUsage([tenant], async (names) => {
          // Later by the store's clock, which tells ms apart and, in PGlite, no less.
          await pause(3);
          await store.recordUsage(names, saying(20));
          return new Map([[tenant, 10]]);
        });
        expect(await slow).toBe(0);
        expect((await store.load(tenant)).row?.currentUsageBytes).toBe(20);
      });

      it('takes many at once, from many at once', async () => {
        const many = others(PARALLEL);
        for (const name of many) await store.change(name, {}, ACTOR);
        await Promise.all(
          [1, 2, 3, 4].map((bytes) =>
            store.recordUsage(bytes % 2 === 0 ? many : many.toReversed(), saying(bytes)),
          ),
        );
        for (const name of many) {
          expect((await store.load(name)).row?.currentUsageBytes).toBeGreaterThan(0);
        }
        for (const name of many) await store.delete(name, ACTOR);
      });
    });
  });
}
