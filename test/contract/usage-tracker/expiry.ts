import { inTime, untilDue, type Scene, type Stage } from './scene';

/** Many more than a reserve reaps along the way. */
const MANY = 300;

async function fill(s: Scene, count: number, bytes: number, ttlMs: number): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, (_, i) => s.put(`gone-${String(i)}`, bytes, { ttlMs })),
  );
}

export function describeExpiry(stage: Stage): void {
  describe('an entry at its expiry', () => {
    it('gives its bytes back', async () => {
      const { s, ms, seen } = await inTime(stage, {}, async (scene, ttlMs) => {
        await scene.put('k', 60, { ttlMs });
        return scene.used();
      });
      expect(seen).toEqual([60, 0]);
      await untilDue(ms);
      expect(await s.used()).toEqual([0, 0]);
      expect(await s.entry('k')).toBeNull();
    });

    it('is gone for a lookup, whatever has been reaped', async () => {
      const s = stage.scene();
      await s.put('k', 60, { ttlMs: 20 });
      await untilDue(20);
      expect(await s.entry('k')).toBeNull();
    });

    it('counts as new when it is written again', async () => {
      const s = stage.scene();
      await s.put('k', 60, { ttlMs: 20 });
      await untilDue(20);
      const hold = await s.hold('k', 50);
      expect(hold.reply).toMatchObject({
        usedAfterBytes: 50,
        usage: { committedBytes: 0, reservedBytes: 50 },
      });
      expect(await s.commit(hold)).toMatchObject({ replaced: false });
    });

    it('cannot be removed any more', async () => {
      const s = stage.scene();
      await s.put('k', 60, { ttlMs: 20 });
      await untilDue(20);
      expect(await s.remove('k')).toMatchObject({
        removed: false,
        freedBytes: 0,
        usage: { committedBytes: 0 },
      });
    });

    it('is not found replaced by a commit reserved while it lived', async () => {
      const s = stage.scene();
      await s.put('k', 60, { ttlMs: 20 });
      const hold = await s.hold('k', 60);
      await untilDue(20);
      expect(await s.commit(hold)).toMatchObject({ outcome: 'committed', replaced: false });
      expect(await s.used()).toEqual([60, 0]);
    });

    it('leaves the entry that replaced it alone', async () => {
      const s = stage.scene();
      await s.put('k', 60, { ttlMs: 20 });
      await s.put('k', 50, { ttlMs: 60_000 });
      await untilDue(20);
      expect(await s.used()).toEqual([50, 0]);
      expect(await s.entry('k')).toMatchObject({ bytes: 50 });
    });

    it('removed before it, gives its bytes back once', async () => {
      const s = stage.scene();
      await s.put('other', 10);
      await s.put('k', 60, { ttlMs: 20 });
      await s.remove('k');
      await untilDue(20);
      expect(await s.used()).toEqual([10, 0]);
    });

    it('makes room: a write that did not fit is admitted', async () => {
      const { s, ms, seen } = await inTime(stage, {}, async (scene, ttlMs) => {
        await scene.put('k', 100, { ttlMs });
        return scene.reserve('new', 100);
      });
      expect(seen.outcome).toBe('rejected');
      await untilDue(ms);
      expect(await s.reserve('new', 100)).toMatchObject({ decision: 'ALLOW', usedAfterBytes: 100 });
    });

    it('is gone for check as well', async () => {
      const s = stage.scene();
      await s.put('k', 100, { ttlMs: 20 });
      await untilDue(20);
      expect(await s.check('new', 110)).toMatchObject({
        outcome: 'reserved',
        usedAfterBytes: 110,
      });
    });
  });

  describe('hundreds of entries that expired at once', () => {
    it('never cause a false refusal', async () => {
      const full = { quotaBytes: MANY, hardBytes: MANY };
      const { s, ms, seen } = await inTime(
        stage,
        full,
        async (scene, ttlMs) => {
          await fill(scene, MANY, 1, ttlMs);
          return scene.reserve('new', MANY);
        },
        200,
      );
      expect(seen.outcome).toBe('rejected');
      await untilDue(ms);
      expect(await s.reserve('new', MANY)).toMatchObject({
        outcome: 'reserved',
        usedAfterBytes: MANY,
      });
    });

    it('never cause a false refusal by check', async () => {
      const s = stage.scene({ quotaBytes: MANY, hardBytes: MANY });
      await fill(s, MANY, 1, 200);
      await untilDue(200);
      expect(await s.check('new', MANY)).toMatchObject({ outcome: 'reserved' });
    });

    it('are all gone for a read', async () => {
      const s = stage.scene({ quotaBytes: MANY });
      await fill(s, MANY, 1, 200);
      await untilDue(200);
      expect(await s.used()).toEqual([0, 0]);
    });

    it('nor do lapsed reservations', async () => {
      const s = stage.scene({ quotaBytes: MANY, hardBytes: MANY });
      await Promise.all(
        Array.from({ length: MANY }, (_, i) => s.hold(`dead-${String(i)}`, 1, { holdMs: 200 })),
      );
      await untilDue(200);
      expect(await s.reserve('new', MANY)).toMatchObject({ usedAfterBytes: MANY });
    });

    it('are not seen in a listing, reaped or not', async () => {
      const s = stage.scene({ quotaBytes: MANY });
      await fill(s, 50, 1, 100);
      await s.put('stays', 1);
      await untilDue(100);
      const { entries } = await s.tracker.entries(s.tenant, null, 1_000);
      expect(entries.map(({ key }) => key)).toEqual(['stays']);
    });
  });

  describe('sweep', () => {
    it('reaps at most so many of each kind, and says whether there is more', async () => {
      const { s, ms } = await inTime(stage, { quotaBytes: 1_000 }, async (scene, life) => {
        for (let i = 0; i < 5; i++) {
          await scene.put(`e${String(i)}`, 10, { ttlMs: life });
          await scene.hold(`r${String(i)}`, 1, { holdMs: life });
        }
      });
      await untilDue(ms);
      const sweep = () => s.tracker.sweep(s.tenant, 3);
      expect(await sweep()).toEqual({
        expiredEntries: 3,
        expiredReservations: 3,
        freedBytes: 33,
        more: true,
        lapsed: false,
        unsettled: 0,
      });
      expect(await sweep()).toEqual({
        expiredEntries: 2,
        expiredReservations: 2,
        freedBytes: 22,
        more: false,
        lapsed: false,
        unsettled: 0,
      });
      expect(await sweep()).toEqual({
        expiredEntries: 0,
        expiredReservations: 0,
        freedBytes: 0,
        more: false,
        lapsed: false,
        unsettled: 0,
      });
      expect(await s.used()).toEqual([0, 0]);
    });

    it('takes nothing that is not due', async () => {
      const s = stage.scene();
      await s.put('k', 10, { ttlMs: 60_000 });
      await s.put('forever', 10);
      await s.hold('r', 10);
      expect(await s.tracker.sweep(s.tenant, 100)).toMatchObject({
        expiredEntries: 0,
        expiredReservations: 0,
        more: false,
      });
      expect(await s.used()).toEqual([20, 10]);
    });
  });

  describe('retryAfterMs', () => {
    it('says when enough bytes will have expired', async () => {
      const s = stage.scene();
      await s.put('soon', 30, { ttlMs: 10_000 });
      await s.put('later', 30, { ttlMs: 50_000 });
      await s.put('forever', 40);
      expectWithin(await retryAfter(s, 'new', 40), 8_000, 10_000);
      expectWithin(await retryAfter(s, 'new', 41), 48_000, 50_000);
    });

    it('is absent when not enough will ever expire', async () => {
      const s = stage.scene();
      await s.put('soon', 30, { ttlMs: 10_000 });
      await s.put('forever', 70);
      expectWithin(await retryAfter(s, 'new', 40), 8_000, 10_000);
      expect(await retryAfter(s, 'new', 41)).toBeUndefined();
    });

    it('is absent when nothing expires', async () => {
      const s = stage.scene();
      await s.put('forever', 100);
      const reply = await s.reserve('new', 20);
      expect(reply.outcome).toBe('rejected');
      expect(reply).not.toHaveProperty('retryAfterMs');
    });

    it('keeps its word', async () => {
      const { s, ms, seen } = await inTime(stage, {}, async (scene, ttlMs) => {
        await scene.put('soon', 100, { ttlMs });
        return scene.reserve('new', 100);
      });
      const wait = 'retryAfterMs' in seen ? seen.retryAfterMs : undefined;
      expectWithin(wait, 1, ms);
      await untilDue(wait!);
      expect((await s.reserve('new', 100)).outcome).toBe('reserved');
    });

    it("does not count on the expiry of the written key's own entry", async () => {
      const s = stage.scene();
      await s.put('k', 60, { ttlMs: 10_000 });
      await s.put('other', 40, { ttlMs: 50_000 });
      // When k expires its overwrite is no smaller: only the other entry makes room.
      expectWithin(await retryAfter(s, 'k', 90), 48_000, 50_000);
      await s.put('other', 40);
      expect(await retryAfter(s, 'k', 90)).toBeUndefined();
    });

    it('does not count on bytes that an open write of the entry will keep', async () => {
      const s = stage.scene();
      await s.put('k', 60, { ttlMs: 10_000 });
      await s.put('other', 40, { ttlMs: 50_000 });
      await s.hold('k', 60);
      expectWithin(await retryAfter(s, 'new', 20), 48_000, 50_000);
    });

    it('comes with check as well', async () => {
      const s = stage.scene();
      await s.put('soon', 100, { ttlMs: 10_000 });
      const reply = await s.check('new', 20);
      expect(reply.outcome).toBe('rejected');
      expectWithin('retryAfterMs' in reply ? reply.retryAfterMs : undefined, 8_000, 10_000);
    });
  });
}

async function retryAfter(s: Scene, key: string, bytes: number): Promise<number | undefined> {
  const reply = await s.reserve(key, bytes);
  if (reply.outcome !== 'rejected') throw new Error(`Expected a refusal, got ${reply.outcome}`);
  return reply.retryAfterMs;
}

function expectWithin(value: number | undefined, low: number, high: number): void {
  expect(value).toBeGreaterThanOrEqual(low);
  expect(value).toBeLessThanOrEqual(high);
}
