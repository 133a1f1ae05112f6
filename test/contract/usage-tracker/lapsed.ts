import { UndecidedError, type LapsedHold } from '../../../libs/quota/src/core';
import { untilDue, type Scene, type Stage } from './scene';

async function allOf(s: Scene, limit = 100): Promise<LapsedHold[]> {
  const found: LapsedHold[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<Scene['tracker']['lapsed']>> = await s.tracker.lapsed(
      s.tenant,
      cursor,
      limit,
    );
    found.push(...page.holds);
    cursor = page.next;
  } while (cursor !== null);
  return found;
}

const isLapsed = async (s: Scene): Promise<boolean> =>
  (await s.tracker.sweep(s.tenant, 100)).lapsed;

async function isDue(s: Scene): Promise<boolean> {
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<Scene['tracker']['due']>> = await s.tracker.due(cursor, 1_000);
    if (page.tenants.includes(s.tenant)) return true;
    cursor = page.next;
  } while (cursor !== null);
  return false;
}

/** Reservations that are kept when they have lapsed, until somebody has looked into them. */
export function describeLapsed(stage: Stage): void {
  describe('a lapsed reservation that is kept', () => {
    it('holds its bytes, whoever reaps, and is listed', async () => {
      const s = stage.scene({ quotaBytes: 1_000 });
      await s.put('a', 5);
      const reap: (() => Promise<unknown>)[] = [
        () => s.used(),
        () => s.put('b', 10),
        () => s.check('c', 10),
        () => s.tracker.recount(s.tenant),
        () => s.tracker.sweep(s.tenant, 10),
      ];
      const ids: string[] = [];
      for (const [i, by] of reap.entries()) {
        ids.push((await s.hold('a', 20 + i, { holdMs: 20, keep: true })).id);
        await untilDue(20);
        await by();
      }
      expect(await s.used()).toEqual([15, 19]);
      expect(await isLapsed(s)).toBe(true);
      const listed = await allOf(s);
      expect(listed).toHaveLength(ids.length);
      expect(listed).toEqual(
        expect.arrayContaining(ids.map((id, i) => ({ id, key: 'a', bytes: 20 + i }))),
      );
      expect((await s.tracker.recount(s.tenant)).driftBytes).toBe(0);
      expect(await s.used()).toEqual([15, 19]);
    });

    it('is said once to have lapsed', async () => {
      const s = stage.scene();
      await s.hold('a', 1, { holdMs: 20, keep: true });
      await untilDue(20);
      const swept = { expiredReservations: 1, freedBytes: 0, lapsed: true, more: false };
      expect(await s.tracker.sweep(s.tenant, 10)).toMatchObject(swept);
      expect(await s.tracker.sweep(s.tenant, 10)).toMatchObject({
        ...swept,
        expiredReservations: 0,
      });
    });

    it('goes when it is let go, alone and once', async () => {
      const s = stage.scene();
      const a = await s.kept('a', 10);
      await s.kept('b', 20);
      const open = await s.hold('c', 30, { keep: true });
      expect(await s.tracker.letGo(s.tenant, [a.id, open.id, 'never seen'])).toBe(1);
      expect(await s.used()).toEqual([0, 50]);
      expect(await s.tracker.letGo(s.tenant, [a.id])).toBe(0);
      expect(await s.tracker.letGo(s.tenant, [])).toBe(0);
      expect(await s.used()).toEqual([0, 50]);
      expect((await allOf(s)).map(({ key }) => key)).toEqual(['b']);
      expect((await s.commit(open)).outcome).toBe('committed');
      // As after any other that has gone: a late commit is checked anew.
      expect((await s.commit(a)).outcome).toBe('committed');
      expect(await s.used()).toEqual([40, 20]);
    });

    it('makes the tenant due until it goes', async () => {
      const s = stage.scene();
      const kept = await s.kept('a', 0);
      expect(await isDue(s)).toBe(true);
      await s.tracker.letGo(s.tenant, [kept.id]);
      expect(await isLapsed(s)).toBe(false);
      expect(await isDue(s)).toBe(false);
    });

    it('commits, releases and answers as an open one', async () => {
      const s = stage.scene();
      const late = await s.kept('a', 40);
      const back = await s.kept('b', 50);
      expect(await s.reserve('a', 40, { id: late.id, keep: true })).toMatchObject({
        outcome: 'reserved',
        usage: { reservedBytes: 90 },
      });
      expect(await s.commit(late, 30)).toMatchObject({ outcome: 'committed' });
      expect(await s.used()).toEqual([30, 50]);
      expect(await s.release(back)).toMatchObject({ outcome: 'released' });
      expect(await s.used()).toEqual([30, 0]);
      expect(await allOf(s)).toEqual([]);
      expect(await s.tracker.letGo(s.tenant, [late.id, back.id])).toBe(0);
      expect(await s.used()).toEqual([30, 0]);
    });

    it('is no write on its way: the entry can be corrected beneath it', async () => {
      const s = stage.scene();
      await s.put('a', 10);
      const kept = await s.kept('a', 50);
      expect(await s.isPending('a')).toBe(false);
      const { entries } = await s.tracker.entries(s.tenant, null, 10);
      expect(entries).toMatchObject([{ key: 'a', pending: false }]);
      const seen = { bytes: 10, version: 0 };
      const correction = [{ key: 'a', bytes: 30, seen }];
      expect(await s.tracker.correct(s.tenant, correction)).toEqual({ applied: 1, deltaBytes: 20 });
      expect(await s.used()).toEqual([30, 20]);
      await s.tracker.letGo(s.tenant, [kept.id]);
      expect(await s.used()).toEqual([30, 0]);
    });

    it('leaves a key pending that another write is on its way to', async () => {
      const s = stage.scene();
      const kept = await s.kept('a', 50);
      const open = await s.hold('a', 40);
      expect(await s.isPending('a')).toBe(true);
      expect(await s.tracker.correct(s.tenant, [{ key: 'a', bytes: 30 }])).toMatchObject({
        applied: 0,
      });
      await s.commit(open);
      expect(await s.isPending('a')).toBe(false);
      expect(await s.used()).toEqual([40, 10]);
      await s.tracker.letGo(s.tenant, [kept.id]);
      expect(await s.used()).toEqual([40, 0]);
    });

    it('of equal size is told apart from an open one', async () => {
      const s = stage.scene();
      const kept = await s.kept('a', 50);
      const open = await s.hold('a', 50);
      await s.tracker.letGo(s.tenant, [kept.id]);
      expect(await s.isPending('a')).toBe(true);
      expect(await s.used()).toEqual([0, 50]);
      const other = await s.kept('a', 50);
      await s.release(open);
      expect(await s.isPending('a')).toBe(false);
      expect(await s.used()).toEqual([0, 50]);
      await s.tracker.letGo(s.tenant, [other.id]);
      expect(await s.used()).toEqual([0, 0]);
    });

    it('neither admits nor refuses what it may stand in the way of', async () => {
      const s = stage.scene({ quotaBytes: 100, hardBytes: 110 });
      await s.put('a', 60);
      const kept = await s.kept('b', 40);
      const undecided = expect.any(UndecidedError);
      await expect(s.reserve('c', 11)).rejects.toEqual(undecided);
      await expect(s.check('c', 50)).rejects.toEqual(undecided);
      // Whatever became of it.
      expect(await s.reserve('c', 51)).toMatchObject({ outcome: 'rejected' });
      expect(await s.check('c', 51)).toMatchObject({ outcome: 'rejected' });
      const open = await s.hold('c', 10);
      await expect(s.commit(open, 11)).rejects.toEqual(undecided);
      expect(await s.used()).toEqual([60, 50]);
      expect(await s.commit(open, 51)).toMatchObject({ outcome: 'refused' });
      expect(await s.check('c', 11, { enforce: false })).toMatchObject({ outcome: 'reserved' });
      await s.tracker.letGo(s.tenant, [kept.id]);
      expect(await s.reserve('c', 11)).toMatchObject({ outcome: 'reserved' });
      expect(await s.check('d', 40)).toMatchObject({ outcome: 'rejected' });
    });

    it('does not make the growth of its own late commit undecided', async () => {
      const s = stage.scene({ quotaBytes: 100, hardBytes: 110 });
      await s.put('a', 60);
      const kept = await s.kept('b', 40);
      expect(await s.commit(kept, 51)).toMatchObject({ outcome: 'refused' });
      expect(await s.used()).toEqual([60, 0]);
    });

    it('is listed in pages, each once', async () => {
      const s = stage.scene({ quotaBytes: 1_000, hardBytes: 1_000 });
      const ids: string[] = [];
      for (let i = 0; i < 7; i += 1) {
        ids.push((await s.hold(`k${i}`, 1, { holdMs: 20, keep: true })).id);
      }
      await untilDue(20);
      await s.used();
      const found = (await allOf(s, 2)).map(({ id }) => id);
      expect(found.toSorted()).toEqual(ids.toSorted());
      await expect(s.tracker.lapsed(s.tenant, null, 0)).rejects.toThrow();
    });

    it('goes with the tenant', async () => {
      const s = stage.scene();
      await s.kept('a', 50);
      await s.tracker.drop(s.tenant);
      expect(await allOf(s)).toEqual([]);
      expect(await s.used()).toEqual([0, 0]);
      expect(await s.reserve('b', 110)).toMatchObject({ outcome: 'reserved' });
    });

    it('is not held without a key', async () => {
      const s = stage.scene();
      await s.lapsed(undefined, 50, { keep: true });
      expect(await allOf(s)).toEqual([]);
      expect(await s.used()).toEqual([0, 0]);
    });

    it('remembers what was seen of its key', async () => {
      const s = stage.scene();
      const late = await s.kept('a', 50);
      await s.remove('a', { version: 9 });
      expect(await s.commit(late, 50, { version: 8 })).toMatchObject({ outcome: 'committed' });
      expect(await s.entry('a')).toBeNull();
      expect(await s.used()).toEqual([0, 0]);
    });
  });

  it('knows nothing lapsed of a tenant never seen', async () => {
    const s = stage.scene();
    expect(await allOf(s)).toEqual([]);
    expect(await s.tracker.letGo(s.tenant, ['x'])).toBe(0);
    expect(await stage.harness().hasState(s.tenant)).toBe(false);
  });
}
