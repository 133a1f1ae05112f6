import { randomUUID } from 'node:crypto';
import { ReservationConflictError, type CommitReply } from '../../../libs/quota/src/core';
import { bytesOf, inTime, untilDue, type Stage } from './scene';

export function describeSettling(stage: Stage): void {
  describe('a commit', () => {
    it('turns the hold into an entry', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 40);
      expect(await s.isPending('k')).toBe(true);
      expect(await s.entry('k')).toBeNull();
      expect(await s.commit(hold)).toEqual({
        outcome: 'committed',
        replaced: false,
        usage: { committedBytes: 40, reservedBytes: 0, unmeteredBytes: 0 },
      });
      expect(await s.isPending('k')).toBe(false);
      expect(await s.entry('k')).toEqual({ bytes: 40, version: 0 });
    });

    it('smaller than reserved gives the rest back', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 40);
      const reply = await s.commit(hold, 15);
      expect(reply).toMatchObject({ outcome: 'committed', usage: { committedBytes: 15 } });
      expect(await s.used()).toEqual([15, 0]);
    });

    it('of nothing at all leaves an empty entry and no hold', async () => {
      const s = stage.scene();
      await s.commit(await s.hold('k', 40), 0);
      expect(await s.used()).toEqual([0, 0]);
      expect(await s.entry('k')).toMatchObject({ bytes: 0 });
    });

    it('larger than reserved takes the difference where it fits', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 40);
      expect((await s.commit(hold, 110)).outcome).toBe('committed');
      expect(await s.used()).toEqual([110, 0]);
    });

    it('larger than reserved is refused where it does not fit; the hold is free, the old entry stays', async () => {
      const s = stage.scene();
      await s.put('k', 30);
      await s.put('other', 50);
      const hold = await s.hold('k', 40);
      expect(await s.commit(hold, 61)).toEqual({
        outcome: 'refused',
        usage: { committedBytes: 80, reservedBytes: 0, unmeteredBytes: 0 },
      });
      expect(await s.entry('k')).toMatchObject({ bytes: 30 });
      expect(await s.isPending('k')).toBe(false);
      expect(await s.used()).toEqual([80, 0]);
    });

    it('larger than reserved counts neither its own hold nor the old entry twice', async () => {
      const s = stage.scene();
      await s.put('k', 30);
      await s.put('other', 50);
      expect((await s.commit(await s.hold('k', 40), 60)).outcome).toBe('committed');
      expect(await s.used()).toEqual([110, 0]);
    });

    it('larger than reserved fits beneath another open write of the key', async () => {
      const s = stage.scene();
      await s.put('other', 30);
      const large = await s.hold('k', 80);
      const small = await s.hold('k', 10);
      expect((await s.commit(small, 80)).outcome).toBe('committed');
      expect(await s.used()).toEqual([110, 0]);
      expect((await s.commit(large)).outcome).toBe('committed');
      expect(await s.used()).toEqual([110, 0]);
    });

    it('larger than reserved, yet no larger than the old entry, is never refused', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      const low = s.under({ quotaBytes: 10, hardBytes: 10 });
      const hold = await low.hold('k', 20);
      expect((await low.commit(hold, 60)).outcome).toBe('committed');
      expect(await s.used()).toEqual([60, 0]);
    });

    it('may be larger than reserved to the last byte, and not one more, when others expired unreaped', async () => {
      const s = stage.scene();
      await s.put('gone', 60, { ttlMs: 20 });
      const hold = await s.hold('k', 40);
      await untilDue(20);
      expect((await s.commit(hold, 110)).outcome).toBe('committed');
      expect(await s.used()).toEqual([110, 0]);
    });

    it('no larger than reserved succeeds whatever happened to the limit', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 100);
      const low = s.under({ quotaBytes: 1, hardBytes: 1 });
      expect((await low.commit(hold, 99)).outcome).toBe('committed');
      expect(await s.used()).toEqual([99, 0]);
    });

    it('under another key than was reserved is a conflict, and changes nothing', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 40);
      await expect(s.commit({ ...hold, key: 'elsewhere' })).rejects.toThrow(
        ReservationConflictError,
      );
      expect(await s.used()).toEqual([0, 40]);
      expect(await s.entry('elsewhere')).toBeNull();
      expect((await s.commit(hold)).outcome).toBe('committed');
    });

    it('tells when the entry will expire', async () => {
      const s = stage.scene();
      const before = Date.now();
      const reply = await s.put('k', 10, { ttlMs: 60_000 });
      const { expiresAt } = reply;
      // A minute's slack: the ledger's clock is its own, and may part from ours.
      expect(Math.abs(expiresAt! - (before + 60_000))).toBeLessThan(60_000);
      expect(Number.isInteger(expiresAt)).toBe(true);
      expect(await s.entry('k')).toEqual({ bytes: 10, version: 0, expiresAt });
    });

    it('gives an entry without a ttl no expiry, also where the old one had one', async () => {
      const s = stage.scene();
      await s.put('k', 10, { ttlMs: 20 });
      expect(await s.put('k', 10)).not.toHaveProperty('expiresAt');
      await untilDue(20);
      expect(await s.entry('k')).toEqual({ bytes: 10, version: 0 });
      expect(await s.used()).toEqual([10, 0]);
    });
  });

  describe('the same id again', () => {
    it('reserve, before the commit: the same answer, nothing held twice', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      expect(await s.reserve('k', 60, { id: hold.id })).toEqual(hold.reply);
      expect(await s.used()).toEqual([0, 60]);
      await s.commit(hold);
      expect(await s.used()).toEqual([60, 0]);
    });

    it('reserve: the decision as recorded, the numbers as they are now', async () => {
      const s = stage.scene();
      await s.put('other', 50);
      const hold = await s.hold('k', 60);
      expect(hold.reply.decision).toBe('WARN');
      await s.remove('other');
      expect(await s.reserve('k', 60, { id: hold.id })).toMatchObject({
        outcome: 'reserved',
        decision: 'WARN',
        usedAfterBytes: 60,
        usage: { committedBytes: 0, reservedBytes: 60 },
        generation: hold.generation,
      });
    });

    it('reserve, though by now it would be refused: it is held already', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      await s.hold('other', 50);
      expect((await s.reserve('k', 60, { id: hold.id })).outcome).toBe('reserved');
      expect(await s.used()).toEqual([0, 110]);
    });

    it('reserve, after the commit: holds nothing, and a second commit changes nothing', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      await s.commit(hold);
      expect(await s.reserve('k', 60, { id: hold.id })).toMatchObject({
        outcome: 'reserved',
        decision: 'ALLOW',
      });
      expect(await s.used()).toEqual([60, 0]);
      expect((await s.commit(hold)).outcome).toBe('committed');
      expect(await s.used()).toEqual([60, 0]);
    });

    it('reserve, after the release: holds nothing, and its commit bounces', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      await s.release(hold);
      expect((await s.reserve('k', 60, { id: hold.id })).outcome).toBe('reserved');
      expect(await s.used()).toEqual([0, 0]);
      expect(await s.commit(hold)).toEqual({ outcome: 'bounced' });
      expect(await s.entry('k')).toBeNull();
    });

    it('commit: the same answer, and no second entry after a removal in between', async () => {
      const s = stage.scene();
      await s.put('k', 5);
      const hold = await s.hold('k', 60);
      const first = await s.commit(hold, 60, { ttlMs: 60_000 });
      await s.remove('k');
      const second = await s.commit(hold, 60, { ttlMs: 90_000 });
      expect(answerOf(second)).toEqual(answerOf(first));
      expect(first).toMatchObject({ outcome: 'committed', replaced: true });
      expect(await s.entry('k')).toBeNull();
      expect(await s.used()).toEqual([0, 0]);
    });

    it('commit: the present usage with the old answer', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      await s.commit(hold);
      await s.put('other', 20);
      expect(await s.commit(hold)).toMatchObject({
        outcome: 'committed',
        replaced: false,
        usage: { committedBytes: 80, reservedBytes: 0 },
      });
    });

    it('commit, after a refusal: refused again though there is room by now', async () => {
      const s = stage.scene();
      await s.put('other', 60);
      const hold = await s.hold('k', 40);
      expect((await s.commit(hold, 60)).outcome).toBe('refused');
      await s.remove('other');
      expect((await s.commit(hold, 60)).outcome).toBe('refused');
      expect(await s.entry('k')).toBeNull();
      expect(await s.used()).toEqual([0, 0]);
    });

    it('release: settled, and no byte freed twice', async () => {
      const s = stage.scene();
      await s.hold('k', 30);
      const hold = await s.hold('k2', 60);
      expect(await s.release(hold)).toMatchObject({
        outcome: 'released',
        usage: { committedBytes: 0, reservedBytes: 30 },
      });
      expect(await s.release(hold)).toMatchObject({
        outcome: 'settled',
        usage: { committedBytes: 0, reservedBytes: 30 },
      });
      expect(await s.used()).toEqual([0, 30]);
    });

    it('all of a write, many times over and all at once: one effect', async () => {
      const s = stage.scene();
      const id = randomUUID();
      const replies = await Promise.all(
        Array.from({ length: 50 }, () => s.reserve('k', 60, { id })),
      );
      expect(new Set(replies.map((reply) => reply.outcome))).toEqual(new Set(['reserved']));
      expect(await s.used()).toEqual([0, 60]);
      const hold = await s.hold('k', 60, { id });
      await Promise.all(Array.from({ length: 50 }, () => s.commit(hold)));
      expect(await s.used()).toEqual([60, 0]);
    });

    it('without a key: charged once', async () => {
      const s = stage.scene();
      const hold = await s.hold(undefined, 60);
      await s.reserve(undefined, 60, { id: hold.id });
      await s.commit(hold);
      await s.reserve(undefined, 60, { id: hold.id });
      await s.commit(hold);
      expect(await s.used()).toEqual([60, 0]);
    });
  });

  describe('an id for another write', () => {
    it.each([
      ['another size', 'k', 61],
      ['another key', 'other', 60],
      ['no key', undefined, 60],
    ] as const)('with %s is a conflict while open', async (_, key, bytes) => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      await expect(s.reserve(key, bytes, { id: hold.id })).rejects.toThrow(
        ReservationConflictError,
      );
      expect(await s.used()).toEqual([0, 60]);
    });

    it('is a conflict after the commit', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      await s.commit(hold, 20);
      await expect(s.reserve('k', 20, { id: hold.id })).rejects.toThrow(ReservationConflictError);
      await expect(s.reserve('x', 60, { id: hold.id })).rejects.toThrow(ReservationConflictError);
      expect(await s.used()).toEqual([20, 0]);
    });

    it('is a conflict after the release', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      await s.release(hold);
      await expect(s.reserve('x', 60, { id: hold.id })).rejects.toThrow(ReservationConflictError);
    });

    it('is a conflict that carries the id', async () => {
      const s = stage.scene();
      const { id } = await s.hold('k', 60);
      await expect(s.reserve('k', 1, { id })).rejects.toMatchObject({
        code: 'reservation_conflict',
        id,
      });
    });
  });

  describe('a release', () => {
    it('frees the hold', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      const reply = await s.release(hold);
      expect([reply.outcome, ...bytesOf(reply.usage)]).toEqual(['released', 0, 0]);
      expect(await s.isPending('k')).toBe(false);
    });

    it('of a hold without a key frees it', async () => {
      const s = stage.scene();
      const hold = await s.hold(undefined, 60);
      expect(await s.release(hold)).toMatchObject({
        outcome: 'released',
        usage: { reservedBytes: 0 },
      });
    });

    it('after the commit changes nothing', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      await s.commit(hold);
      expect(await s.release(hold)).toMatchObject({ outcome: 'settled' });
      expect(await s.used()).toEqual([60, 0]);
      expect((await s.commit(hold)).outcome).toBe('committed');
    });

    it('before its reserve: the late reserve holds nothing, and its commit bounces', async () => {
      const s = stage.scene();
      const { generation } = await s.hold('other', 10);
      const id = randomUUID();
      expect((await s.release({ id })).outcome).toBe('settled');
      expect((await s.reserve('k', 60, { id })).outcome).toBe('reserved');
      expect(await s.used()).toEqual([0, 10]);
      expect(await s.isPending('k')).toBe(false);
      const { reply } = await s.hold('probe', 0);
      const late = { id, key: 'k', bytes: 60, generation, reply };
      expect(await s.commit(late)).toEqual({ outcome: 'bounced' });
      expect(await s.entry('k')).toBeNull();
    });

    it('makes the commit bounce', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      await s.release(hold);
      expect(await s.commit(hold)).toEqual({ outcome: 'bounced' });
      expect(await s.used()).toEqual([0, 0]);
    });
  });

  describe('a reservation that nobody settles', () => {
    it('gives its bytes back at its deadline, to the byte', async () => {
      const s = stage.scene();
      await s.put('k', 30);
      await s.lapsed('k', 50);
      await s.lapsed('new', 17);
      await s.lapsed(undefined, 21);
      expect(await s.used()).toEqual([30, 0]);
      expect(await s.isPending('k')).toBe(false);
      expect(await s.isPending('new')).toBe(false);
    });

    it('is not in the way of a new write after its deadline', async () => {
      const { s, ms, seen } = await inTime(stage, {}, async (scene, holdMs) => {
        await scene.hold('dead', 110, { holdMs });
        return scene.reserve('k', 100);
      });
      expect(seen.outcome).toBe('rejected');
      await untilDue(ms);
      expect(await s.reserve('k', 100)).toMatchObject({
        outcome: 'reserved',
        decision: 'ALLOW',
        usedAfterBytes: 100,
      });
    });

    it('committed after its deadline is admitted again where it fits', async () => {
      const s = stage.scene();
      await s.put('other', 50);
      const late = await s.lapsed('k', 60);
      expect(await s.used()).toEqual([50, 0]);
      expect(await s.commit(late)).toMatchObject({
        outcome: 'committed',
        replaced: false,
        usage: { committedBytes: 110, reservedBytes: 0 },
      });
      expect(await s.entry('k')).toMatchObject({ bytes: 60 });
    });

    it('committed after its deadline is refused where it no longer fits', async () => {
      const s = stage.scene();
      const late = await s.lapsed('k', 60);
      await s.put('other', 51);
      expect(await s.commit(late)).toMatchObject({
        outcome: 'refused',
        usage: { committedBytes: 51, reservedBytes: 0 },
      });
      expect(await s.entry('k')).toBeNull();
      expect(await s.used()).toEqual([51, 0]);
    });

    it('refused late stays refused when the commit is sent again', async () => {
      const s = stage.scene();
      const late = await s.lapsed('k', 60);
      await s.put('other', 51);
      expect((await s.commit(late)).outcome).toBe('refused');
      await s.remove('other');
      expect((await s.commit(late)).outcome).toBe('refused');
      expect(await s.used()).toEqual([0, 0]);
    });

    it('committed late in shadow is counted whatever the limit', async () => {
      const s = stage.scene();
      const late = await s.lapsed('k', 60);
      await s.put('other', 100);
      expect((await s.commit(late, 60, { enforce: false })).outcome).toBe('committed');
      expect(await s.used()).toEqual([160, 0]);
    });

    it('committed late is charged the difference to the old entry only', async () => {
      const s = stage.scene();
      await s.put('k', 50);
      await s.put('other', 50);
      const late = await s.lapsed('k', 55);
      expect((await s.commit(late, 60)).outcome).toBe('committed');
      expect(await s.used()).toEqual([110, 0]);
    });

    it('committed late is not refused for the sake of what expired unreaped', async () => {
      const s = stage.scene();
      const late = await s.lapsed('k', 60);
      await s.put('gone', 100, { ttlMs: 20 });
      await s.hold('dead', 10, { holdMs: 20 });
      await untilDue(20);
      expect((await s.commit(late)).outcome).toBe('committed');
      expect(await s.used()).toEqual([60, 0]);
    });

    it('committed late twice is charged once', async () => {
      const s = stage.scene();
      const late = await s.lapsed(undefined, 40);
      expect((await s.commit(late)).outcome).toBe('committed');
      expect((await s.commit(late)).outcome).toBe('committed');
      expect(await s.used()).toEqual([40, 0]);
    });

    it('released after its deadline is settled, and its commit bounces', async () => {
      const s = stage.scene();
      await s.put('other', 5);
      const late = await s.lapsed('k', 60);
      expect((await s.release(late)).outcome).toBe('settled');
      expect(await s.commit(late)).toEqual({ outcome: 'bounced' });
      expect(await s.used()).toEqual([5, 0]);
    });
  });

  describe('a dropped tenant', () => {
    it('has no usage, no entries, nothing pending', async () => {
      const s = stage.scene();
      await s.put('a', 60);
      await s.put(undefined, 10);
      await s.hold('b', 20);
      await s.hold(undefined, 5);
      await s.tracker.drop(s.tenant);
      expect(await s.used()).toEqual([0, 0]);
      expect(await s.entry('a')).toBeNull();
      expect(await s.isPending('b')).toBe(false);
      expect(await s.tracker.entries(s.tenant, null, 10)).toEqual({ entries: [], next: null });
      expect(await s.refund(10)).toMatchObject({ freedBytes: 0, underflowBytes: 10 });
    });

    it('lets late commits bounce', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      await s.tracker.drop(s.tenant);
      expect(await s.commit(hold)).toEqual({ outcome: 'bounced' });
      expect(await s.used()).toEqual([0, 0]);
      expect(await s.entry('k')).toBeNull();
    });

    it('made anew has another generation, and late commits of the old one still bounce', async () => {
      const s = stage.scene();
      const old = await s.hold('k', 60);
      await s.tracker.drop(s.tenant);
      const fresh = await s.hold('k', 60);
      expect(fresh.generation).not.toBe(old.generation);
      expect(await s.commit(old)).toEqual({ outcome: 'bounced' });
      expect(await s.used()).toEqual([0, 60]);
      expect((await s.commit(fresh)).outcome).toBe('committed');
    });

    it('never sees a generation twice', async () => {
      const s = stage.scene();
      const seen = new Set<string>();
      for (let life = 0; life < 20; life++) {
        seen.add((await s.hold('k', 10)).generation);
        await s.tracker.drop(s.tenant);
      }
      expect(seen.size).toBe(20);
    });

    it('has its whole quota again', async () => {
      const s = stage.scene();
      await s.put('a', 110);
      await s.tracker.drop(s.tenant);
      expect(await s.reserve('b', 110)).toMatchObject({ usedAfterBytes: 110 });
    });

    it('bounces a commit that was committed in the life before', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      await s.commit(hold);
      await s.tracker.drop(s.tenant);
      expect(await s.commit(hold)).toEqual({ outcome: 'bounced' });
      expect(await s.used()).toEqual([0, 0]);
    });

    it('is not harmed by releases and removals that come late', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      await s.put('a', 10);
      await s.tracker.drop(s.tenant);
      await s.put('b', 7);
      expect((await s.release(hold)).outcome).toBe('settled');
      expect(await s.remove('a')).toMatchObject({ removed: false, freedBytes: 0 });
      expect(await s.used()).toEqual([7, 0]);
    });

    it('can be dropped twice', async () => {
      const s = stage.scene();
      await s.put('a', 10);
      await s.tracker.drop(s.tenant);
      await s.tracker.drop(s.tenant);
      expect(await s.used()).toEqual([0, 0]);
    });
  });

  describe('generations', () => {
    it('stay the same through all of one life', async () => {
      const s = stage.scene();
      const first = await s.hold('k', 10);
      await s.commit(first);
      await s.remove('k');
      await s.tracker.recount(s.tenant);
      expect((await s.hold('other', 10)).generation).toBe(first.generation);
    });

    it('differ between tenants', async () => {
      const one = await stage.scene().hold('k', 10);
      const two = await stage.scene().hold('k', 10);
      expect(one.generation).not.toBe(two.generation);
    });

    it('unknown to the tenant make a commit bounce with nothing changed', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 10);
      expect(await s.commit(hold, 10, { generation: 'of another life' })).toEqual({
        outcome: 'bounced',
      });
      expect(await s.used()).toEqual([0, 10]);
      expect((await s.commit(hold)).outcome).toBe('committed');
    });
  });
}

/** A reply without the usage of its moment. */
function answerOf(reply: CommitReply): unknown {
  return { ...reply, usage: undefined };
}
