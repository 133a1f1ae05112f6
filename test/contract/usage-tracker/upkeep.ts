import type { KeyView, TenantPage } from '../../../libs/quota/src/core';
import { describeLapsed } from './lapsed';
import { untilDue, type Scene, type Stage } from './scene';

async function listAll(s: Scene, limit: number): Promise<KeyView[]> {
  const all: KeyView[] = [];
  let cursor: string | null = null;
  let pages = 0;
  do {
    pages += 1;
    if (pages > 1_000) throw new Error('The listing does not end.');
    const page: { entries: KeyView[]; next: string | null } = await s.tracker.entries(
      s.tenant,
      cursor,
      limit,
    );
    all.push(...page.entries);
    cursor = page.next;
  } while (cursor !== null);
  return all;
}

export function describeUpkeep(stage: Stage): void {
  describe('recount', () => {
    it('finds no drift in normal life', async () => {
      const s = stage.scene({ quotaBytes: 1_000 });
      await s.put('a', 60);
      await s.put('a', 20);
      await s.put('b', 30, { ttlMs: 20 });
      await s.put(undefined, 15);
      await s.refund(5);
      await s.commit(await s.hold('c', 50), 40);
      await s.remove('c');
      await s.hold('a', 70);
      await s.hold('d', 11);
      await s.hold(undefined, 4);
      await s.lapsed('e', 9);
      await untilDue(20);
      expect(await s.tracker.recount(s.tenant)).toEqual({
        driftBytes: 0,
        usage: { committedBytes: 30, reservedBytes: 65, unmeteredBytes: 0 },
      });
      expect(await s.used()).toEqual([30, 65]);
    });

    it('does not take what expired for drift', async () => {
      const s = stage.scene();
      await s.put('gone', 60, { ttlMs: 20 });
      await s.put('stays', 10);
      await untilDue(20);
      expect(await s.tracker.recount(s.tenant)).toMatchObject({
        driftBytes: 0,
        usage: { committedBytes: 10 },
      });
    });

    it('is exact under traffic', async () => {
      const s = stage.scene({ quotaBytes: 1_000_000 });
      for (let i = 0; i < 50; i++) await s.put(`old-${String(i)}`, 10);
      const drifts: number[] = [];
      const traffic = Array.from({ length: 100 }, async (_, i) => {
        const hold = await s.hold(`new-${String(i % 40)}`, 100 + i);
        if (i % 10 === 0) drifts.push((await s.tracker.recount(s.tenant)).driftBytes);
        if (i % 3 === 0) await s.release(hold);
        else await s.commit(hold, 50 + i);
        if (i % 5 === 0) await s.remove(`old-${String(i % 50)}`);
      });
      await Promise.all(traffic);
      expect(drifts).toEqual(Array.from({ length: 10 }, () => 0));
      const sum = (await listAll(s, 1_000)).reduce((all, { entry }) => all + entry!.bytes, 0);
      expect(await s.used()).toEqual([sum, 0]);
      expect(await s.tracker.recount(s.tenant)).toMatchObject({ driftBytes: 0 });
    });

    it.each([7, -7])('puts a committed sum right that is off by %p', async (delta) => {
      const s = stage.scene();
      await s.put('a', 60);
      await s.put(undefined, 5);
      await s.hold('b', 20);
      await stage.harness().skewCommitted(s.tenant, delta);
      expect(await s.used()).toEqual([65 + delta, 20]);
      expect(await s.tracker.recount(s.tenant)).toEqual({
        driftBytes: delta,
        usage: { committedBytes: 65, reservedBytes: 20, unmeteredBytes: 0 },
      });
      expect(await s.tracker.recount(s.tenant)).toMatchObject({ driftBytes: 0 });
    });
  });

  describe('entries', () => {
    it('lists every entry once it is there, page by page', async () => {
      const s = stage.scene({ quotaBytes: 10_000 });
      const keys = Array.from({ length: 57 }, (_, i) => `key-${String(i)}`);
      await Promise.all(keys.map((key, i) => s.put(key, i, { version: i })));
      const views = new Map((await listAll(s, 10)).map((view) => [view.key, view]));
      expect([...views.keys()].sort()).toEqual(keys.toSorted());
      expect(views.get('key-41')).toEqual({
        key: 'key-41',
        entry: { bytes: 41, version: 41 },
        pending: false,
      });
    });

    it('tells which have a write on its way, and when they expire', async () => {
      const s = stage.scene();
      const { expiresAt } = await s.put('a', 10, { ttlMs: 60_000 });
      await s.put('b', 10);
      await s.hold('b', 20);
      await s.hold('only reserved', 5);
      const views = (await listAll(s, 10)).toSorted((x, y) => x.key.localeCompare(y.key));
      expect(views).toEqual([
        { key: 'a', entry: { bytes: 10, version: 0, expiresAt }, pending: false },
        { key: 'b', entry: { bytes: 10, version: 0 }, pending: true },
      ]);
    });

    it('lists what is there all the while though others come and go', async () => {
      const s = stage.scene({ quotaBytes: 100_000 });
      const put = (prefix: string) =>
        Promise.all(Array.from({ length: 40 }, (_, i) => s.put(`${prefix}-${String(i)}`, 1)));
      await put('stays');
      await put('goes');
      const seen = new Set<string>();
      let cursor: string | null = null;
      let i = 0;
      do {
        const page: { entries: KeyView[]; next: string | null } = await s.tracker.entries(
          s.tenant,
          cursor,
          7,
        );
        for (const { key } of page.entries) seen.add(key);
        cursor = page.next;
        await s.remove(`goes-${String(i)}`);
        await s.put(`comes-${String(i)}`, 1);
        i += 1;
      } while (cursor !== null);
      const stays = Array.from({ length: 40 }, (_, i) => `stays-${String(i)}`);
      expect([...seen]).toEqual(expect.arrayContaining(stays));
    });

    it('has nothing for a tenant without entries', async () => {
      const s = stage.scene();
      expect(await s.tracker.entries(s.tenant, null, 10)).toEqual({ entries: [], next: null });
    });
  });

  describe('lookup', () => {
    it('answers in the order asked, for what is there and what is not', async () => {
      const s = stage.scene();
      await s.put('b', 20, { version: 4 });
      await s.hold('c', 5);
      expect(await s.tracker.lookup(s.tenant, ['c', 'a', 'b', 'c'])).toEqual([
        { key: 'c', entry: null, pending: true },
        { key: 'a', entry: null, pending: false },
        { key: 'b', entry: { bytes: 20, version: 4 }, pending: false },
        { key: 'c', entry: null, pending: true },
      ]);
    });

    it('of no keys is empty', async () => {
      const s = stage.scene();
      expect(await s.tracker.lookup(s.tenant, [])).toEqual([]);
      await s.put('a', 1);
      expect(await s.tracker.lookup(s.tenant, [])).toEqual([]);
    });
  });

  describe('correct', () => {
    it('sets an entry to what the storage holds', async () => {
      const s = stage.scene();
      await s.put('k', 60, { version: 3 });
      const correction = { key: 'k', bytes: 25, version: 4, seen: { bytes: 60, version: 3 } };
      expect(await s.tracker.correct(s.tenant, [correction])).toEqual({
        applied: 1,
        deltaBytes: -35,
      });
      expect(await s.entry('k')).toEqual({ bytes: 25, version: 4 });
      expect(await s.used()).toEqual([25, 0]);
    });

    it('removes an entry the storage does not hold', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      const correction = { key: 'k', seen: { bytes: 60, version: 0 } };
      expect(await s.tracker.correct(s.tenant, [correction])).toEqual({
        applied: 1,
        deltaBytes: -60,
      });
      expect(await s.entry('k')).toBeNull();
      expect(await s.used()).toEqual([0, 0]);
    });

    it('adds an entry the ledger did not know, with its expiry', async () => {
      const s = stage.scene();
      const { expiresAt = 0 } = await s.put('clock', 1, { ttlMs: 60_000 });
      const correction = { key: 'k', bytes: 40, expiresAt };
      expect(await s.tracker.correct(s.tenant, [correction])).toEqual({
        applied: 1,
        deltaBytes: 40,
      });
      expect(await s.entry('k')).toEqual({ bytes: 40, version: 0, expiresAt });
      expect(await s.used()).toEqual([41, 0]);
    });

    it('adds entries that then expire', async () => {
      const s = stage.scene();
      const { expiresAt = 0 } = await s.put('clock', 1, { ttlMs: 60 });
      await s.tracker.correct(s.tenant, [{ key: 'k', bytes: 40, expiresAt }]);
      await untilDue(60);
      expect(await s.used()).toEqual([0, 0]);
    });

    it.each([
      ['another size', { bytes: 59, version: 3 }],
      ['another version', { bytes: 60, version: 2 }],
      ['no entry', undefined],
    ])('is skipped where it was found against %s', async (_, seen) => {
      const s = stage.scene();
      await s.put('k', 60, { version: 3 });
      const correction = { key: 'k', bytes: 25, ...(seen ? { seen } : {}) };
      expect(await s.tracker.correct(s.tenant, [correction])).toEqual({
        applied: 0,
        deltaBytes: 0,
      });
      expect(await s.entry('k')).toEqual({ bytes: 60, version: 3 });
      expect(await s.used()).toEqual([60, 0]);
    });

    it('is skipped where the entry it was found against is gone', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      await s.remove('k');
      const correction = { key: 'k', bytes: 25, seen: { bytes: 60, version: 0 } };
      expect(await s.tracker.correct(s.tenant, [correction])).toMatchObject({ applied: 0 });
      expect(await s.used()).toEqual([0, 0]);
    });

    it('is skipped while a write of the key is on its way', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      const hold = await s.hold('k', 70);
      const correction = { key: 'k', bytes: 25, seen: { bytes: 60, version: 0 } };
      expect(await s.tracker.correct(s.tenant, [correction])).toMatchObject({ applied: 0 });
      await s.release(hold);
      expect(await s.tracker.correct(s.tenant, [correction])).toMatchObject({ applied: 1 });
    });

    it('is never refused by a limit, and counts in used', async () => {
      const s = stage.scene();
      await s.put('a', 100);
      await s.tracker.correct(s.tenant, [{ key: 'b', bytes: 500 }]);
      expect(await s.used()).toEqual([600, 0]);
      expect((await s.reserve('c', 1)).outcome).toBe('rejected');
    });

    it('applies each of many on its own, and sums them up signed', async () => {
      const s = stage.scene();
      await s.put('a', 50);
      await s.put('b', 30);
      const reply = await s.tracker.correct(s.tenant, [
        { key: 'a', bytes: 10, seen: { bytes: 50, version: 0 } },
        { key: 'b', bytes: 99, seen: { bytes: 31, version: 0 } },
        { key: 'c', bytes: 15 },
      ]);
      expect(reply).toEqual({ applied: 2, deltaBytes: -25 });
      expect(await s.used()).toEqual([55, 0]);
    });

    it('rebuilds a tenant without state', async () => {
      const s = stage.scene();
      await s.tracker.correct(s.tenant, [
        { key: 'a', bytes: 50, version: 2 },
        { key: 'b', bytes: 30 },
      ]);
      expect(await s.used()).toEqual([80, 0]);
      expect((await s.reserve('c', 31)).outcome).toBe('rejected');
      expect(await s.tracker.recount(s.tenant)).toMatchObject({ driftBytes: 0 });
    });
  });

  describeUnsettled(stage);
  describeLapsed(stage);

  describe('tenants', () => {
    it('lists those that have state, page by page', async () => {
      const scenes = Array.from({ length: 7 }, () => stage.scene());
      for (const s of scenes) await s.put('a', 1);
      const stranger = stage.scene();
      expect(await stranger.used()).toEqual([0, 0]);
      const found = await walk((cursor) => stranger.tracker.tenants(cursor, 2));
      expect(found).toEqual(expect.arrayContaining(scenes.map(({ tenant }) => tenant)));
      expect(found).not.toContain(stranger.tenant);
    });

    it('refuses a page of nothing', async () => {
      const { tracker } = stage.scene();
      await expect(tracker.tenants(null, 0)).rejects.toThrow();
      await expect(tracker.due(null, 0)).rejects.toThrow();
    });
  });

  describe('due', () => {
    it('lists at least those that have something to sweep, until it is swept', async () => {
      const entry = stage.scene();
      const hold = stage.scene();
      await entry.put('a', 1, { ttlMs: 20 });
      await hold.hold(undefined, 1, { holdMs: 20 });
      await untilDue(20);
      const due = () => walk((cursor) => entry.tracker.due(cursor, 1_000));
      expect(await due()).toEqual(expect.arrayContaining([entry.tenant, hold.tenant]));
      expect(await entry.tracker.sweep(entry.tenant, 10)).toMatchObject({ expiredEntries: 1 });
      expect(await hold.tracker.sweep(hold.tenant, 10)).toMatchObject({ expiredReservations: 1 });
      expect([await entry.used(), await hold.used()]).toEqual([
        [0, 0],
        [0, 0],
      ]);
    });
  });
}

async function isDue(s: Scene): Promise<boolean> {
  return (await walk((cursor) => s.tracker.due(cursor, 1_000))).includes(s.tenant);
}

function describeUnsettled(stage: Stage): void {
  const unsettled = async (s: Scene): Promise<number> =>
    (await s.tracker.sweep(s.tenant, 10)).unsettled;

  /** So many of its lives have ended. */
  const ended = async (s: Scene, lives: number): Promise<void> => {
    await s.put('a', 1);
    for (let life = 0; life < lives; life += 1) await s.tracker.drop(s.tenant);
  };

  describe('unsettled', () => {
    it('is one for each life of the tenant that was ended', async () => {
      const s = stage.scene();
      await s.tracker.drop(s.tenant); // of a tenant without state
      expect(await unsettled(s)).toBe(0);
      await ended(s, 2);
      expect(await unsettled(s)).toBe(2);
      await s.put('b', 1);
      await s.tracker.drop(s.tenant);
      // What was looked at was the life before.
      expect(await s.tracker.settled(s.tenant, 2)).toBe(2);
      expect(await unsettled(s)).toBe(1);
      expect(await isDue(s)).toBe(true);
    });

    it('is one for each kept reservation without a key that lapsed, whoever reaps it', async () => {
      const s = stage.scene({ quotaBytes: 1_000 });
      const reap: (() => Promise<unknown>)[] = [
        () => s.used(),
        () => s.put('b', 10),
        () => s.check('c', 5_000),
        () => s.tracker.recount(s.tenant),
      ];
      for (const by of reap) {
        await s.hold(undefined, 1, { holdMs: 20, keep: true });
        await untilDue(20);
        await by();
      }
      await s.release(await s.hold(undefined, 1, { keep: true }));
      await s.commit(await s.hold(undefined, 1, { keep: true }));
      expect(await unsettled(s)).toBe(4);
      expect(await unsettled(s)).toBe(4);
    });

    it('is nothing that another reservation does, lapsed or not', async () => {
      const s = stage.scene({ quotaBytes: 1_000 });
      await s.put('a', 10);
      await s.release(await s.hold('b', 10));
      await s.lapsed('c', 10);
      await s.lapsed(undefined, 10);
      await s.kept('d', 10);
      expect(await unsettled(s)).toBe(0);
    });

    it('falls by what was looked at, and never below zero', async () => {
      const s = stage.scene();
      await ended(s, 3);
      expect(await s.tracker.settled(s.tenant, 2)).toBe(2);
      expect(await unsettled(s)).toBe(1);
      await s.tracker.drop(s.tenant);
      expect(await s.tracker.settled(s.tenant, 0)).toBe(0);
      expect(await s.tracker.settled(s.tenant, 1)).toBe(1);
      expect(await unsettled(s)).toBe(1);
      expect(await s.tracker.settled(s.tenant, 7)).toBe(1);
      expect(await unsettled(s)).toBe(0);
    });

    it('makes the tenant due until it is settled', async () => {
      const s = stage.scene();
      await s.put('a', 1);
      await s.tracker.sweep(s.tenant, 1_000);
      expect(await isDue(s)).toBe(false);
      await s.tracker.drop(s.tenant);
      expect(await isDue(s)).toBe(true);
      await s.tracker.settled(s.tenant, await unsettled(s));
      expect(await unsettled(s)).toBe(0);
      expect(await isDue(s)).toBe(false);
    });

    it.each([-1, 1.5, Number.NaN])('refuses a count of %p', async (count) => {
      const s = stage.scene();
      await expect(s.tracker.settled(s.tenant, count)).rejects.toThrow();
    });
  });
}

async function walk(page: (cursor: string | null) => Promise<TenantPage>): Promise<string[]> {
  const found: string[] = [];
  let cursor: string | null = null;
  do {
    const { tenants, next }: TenantPage = await page(cursor);
    found.push(...tenants);
    cursor = next;
  } while (cursor !== null);
  return found;
}
