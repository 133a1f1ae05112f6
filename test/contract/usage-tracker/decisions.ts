import { randomUUID } from 'node:crypto';
import { MAX_BYTES } from '../../../libs/quota/src/core';
import { type Stage } from './scene';

export function describeDecisions(stage: Stage): void {
  describe('deciding', () => {
    it('allows up to the quota, to the byte', async () => {
      const s = stage.scene();
      await s.put('a', 60);
      expect(await s.reserve('b', 40)).toMatchObject({
        outcome: 'reserved',
        decision: 'ALLOW',
        usedAfterBytes: 100,
        usage: { committedBytes: 60, reservedBytes: 40, unmeteredBytes: 0 },
      });
    });

    it('warns from one byte beyond the quota', async () => {
      const s = stage.scene();
      await s.put('a', 60);
      expect(await s.reserve('b', 41)).toMatchObject({
        outcome: 'reserved',
        decision: 'WARN',
        usedAfterBytes: 101,
      });
    });

    it('warns up to the hard limit, to the byte', async () => {
      const s = stage.scene();
      await s.put('a', 60);
      expect(await s.reserve('b', 50)).toMatchObject({
        outcome: 'reserved',
        decision: 'WARN',
        usedAfterBytes: 110,
      });
    });

    it('rejects from one byte beyond the hard limit, and holds nothing', async () => {
      const s = stage.scene();
      await s.put('a', 60);
      expect(await s.reserve('b', 51)).toMatchObject({
        outcome: 'rejected',
        usedAfterBytes: 111,
        usage: { committedBytes: 60, reservedBytes: 0 },
      });
      expect(await s.used()).toEqual([60, 0]);
      expect(await s.isPending('b')).toBe(false);
    });

    it('counts what is only reserved', async () => {
      const s = stage.scene();
      await s.hold('a', 70);
      expect(await s.reserve('b', 41)).toMatchObject({ outcome: 'rejected', usedAfterBytes: 111 });
      expect(await s.reserve('b', 40)).toMatchObject({ decision: 'WARN', usedAfterBytes: 110 });
    });

    it('has no overage where quota and hard limit are the same', async () => {
      const s = stage.scene({ quotaBytes: 100, hardBytes: 100 });
      await s.put('a', 100);
      expect(await s.reserve('b', 1)).toMatchObject({ outcome: 'rejected', usedAfterBytes: 101 });
    });

    it('admits a small write that fits while a huge one is refused beside it', async () => {
      const s = stage.scene();
      await s.put('a', 60);
      const [huge, small] = await Promise.all([s.reserve('huge', 1_000), s.reserve('small', 40)]);
      expect(huge.outcome).toBe('rejected');
      expect(small).toMatchObject({ outcome: 'reserved', decision: 'ALLOW' });
    });

    it('keeps no trace of a refused id: the same id is admitted once there is room', async () => {
      const s = stage.scene();
      const id = randomUUID();
      await s.put('a', 60);
      expect((await s.reserve('b', 60, { id })).outcome).toBe('rejected');
      expect((await s.reserve('b', 60, { id })).outcome).toBe('rejected');
      await s.remove('a');
      const hold = await s.hold('b', 60, { id });
      expect(await s.used()).toEqual([0, 60]);
      expect((await s.commit(hold)).outcome).toBe('committed');
    });

    it('takes a refused id for another key and size as well', async () => {
      const s = stage.scene();
      const id = randomUUID();
      expect((await s.reserve('b', 200, { id })).outcome).toBe('rejected');
      expect((await s.reserve('c', 10, { id })).outcome).toBe('reserved');
    });

    it('never refuses a write of zero bytes, and lists its entry', async () => {
      const s = stage.scene();
      await s.put('a', 110);
      expect(await s.reserve('zero', 0)).toMatchObject({ decision: 'WARN', usedAfterBytes: 110 });
      await s.put('zero', 0);
      expect(await s.entry('zero')).toMatchObject({ bytes: 0 });
      expect(await s.used()).toEqual([110, 0]);
    });

    it('refuses the first byte under a limit of zero', async () => {
      const s = stage.scene({ quotaBytes: 0, hardBytes: 0 });
      expect((await s.reserve('a', 1)).outcome).toBe('rejected');
      expect(await s.reserve('a', 0)).toMatchObject({ outcome: 'reserved', decision: 'ALLOW' });
    });
  });

  describe('check', () => {
    it('gives the verdict of reserve and holds nothing', async () => {
      const s = stage.scene();
      await s.put('a', 60);
      for (const bytes of [40, 41, 50, 51]) {
        const checked = await s.check('b', bytes);
        const hold = await s.reserve('b', bytes, { id: `same-${String(bytes)}` });
        expect(checked.outcome).toBe(hold.outcome);
        expect(verdictOf(checked)).toEqual(verdictOf(hold));
        await s.release({ id: `same-${String(bytes)}` });
      }
      expect(await s.used()).toEqual([60, 0]);
    });

    it('changes nothing', async () => {
      const s = stage.scene();
      await s.put('a', 60);
      await s.check('a', 90);
      await s.check('b', 20);
      expect(await s.used()).toEqual([60, 0]);
      expect(await s.isPending('b')).toBe(false);
    });

    it('sees that an overwrite of the key frees the old entry', async () => {
      const s = stage.scene();
      await s.put('a', 80);
      expect(await s.check('a', 110)).toMatchObject({ decision: 'WARN', usedAfterBytes: 110 });
      expect(await s.check('b', 31)).toMatchObject({ outcome: 'rejected', usedAfterBytes: 111 });
    });

    it('answers stale to an old configuration', async () => {
      const s = stage.scene();
      await s.put('a', 10, { stamp: 7 });
      expect(await s.check('b', 10, { stamp: 6 })).toEqual({ outcome: 'stale', stamp: 7 });
    });
  });

  describe('a quota lowered below what is used', () => {
    const low = { quotaBytes: 20, hardBytes: 25 };

    it('refuses growth', async () => {
      const s = stage.scene();
      await s.put('a', 60);
      expect((await s.reserve('b', 1, { limits: low })).outcome).toBe('rejected');
      expect((await s.reserve('a', 61, { limits: low })).outcome).toBe('rejected');
    });

    it('lets an overwrite of equal size pass, with a warning', async () => {
      const s = stage.scene();
      await s.put('a', 60);
      expect(await s.reserve('a', 60, { limits: low })).toMatchObject({
        outcome: 'reserved',
        decision: 'WARN',
        usedAfterBytes: 60,
      });
    });

    it('lets a shrinking overwrite pass, with a warning while beyond the quota', async () => {
      const s = stage.scene();
      await s.put('a', 60);
      const hold = await s.hold('a', 50, { limits: low });
      expect(hold.reply).toMatchObject({ decision: 'WARN', usedAfterBytes: 50 });
      expect((await s.under(low).commit(hold)).outcome).toBe('committed');
      expect(await s.used()).toEqual([50, 0]);
    });

    it('allows a shrinking overwrite that ends within the quota', async () => {
      const s = stage.scene();
      await s.put('a', 60);
      expect(await s.reserve('a', 20, { limits: low })).toMatchObject({
        decision: 'ALLOW',
        usedAfterBytes: 20,
      });
    });

    it('lets deletes pass', async () => {
      const s = stage.scene();
      await s.put('a', 60);
      await s.put('b', 40);
      expect((await s.reserve('c', 1, { limits: low })).outcome).toBe('rejected');
      expect(await s.remove('a')).toMatchObject({ removed: true, freedBytes: 60 });
      expect(await s.used()).toEqual([40, 0]);
    });

    it('commits what was reserved under the old limit', async () => {
      const s = stage.scene();
      const hold = await s.hold('a', 60);
      expect((await s.under(low).commit(hold)).outcome).toBe('committed');
      expect(await s.used()).toEqual([60, 0]);
    });

    it('takes a raised limit at the next request', async () => {
      const s = stage.scene();
      await s.put('a', 110);
      expect((await s.reserve('b', 90)).outcome).toBe('rejected');
      expect(
        await s.reserve('b', 90, { limits: { quotaBytes: 200, hardBytes: 200 } }),
      ).toMatchObject({ decision: 'ALLOW', usedAfterBytes: 200 });
    });
  });

  describe('shadow', () => {
    const shadow = { enforce: false };

    it('gives the verdict and holds the bytes whatever it is', async () => {
      const s = stage.scene();
      expect(await s.reserve('a', 111, shadow)).toMatchObject({
        outcome: 'reserved',
        decision: 'REJECT',
        usedAfterBytes: 111,
        usage: { committedBytes: 0, reservedBytes: 111 },
      });
    });

    it('commits beyond the hard limit and counts it', async () => {
      const s = stage.scene();
      const hold = await s.hold('a', 150, shadow);
      expect((await s.commit(hold, 150, shadow)).outcome).toBe('committed');
      expect(await s.used()).toEqual([150, 0]);
    });

    it('commits more than reserved beyond the hard limit', async () => {
      const s = stage.scene();
      const hold = await s.hold('a', 100, shadow);
      expect((await s.commit(hold, 200, shadow)).outcome).toBe('committed');
      expect(await s.used()).toEqual([200, 0]);
    });

    it('reports ALLOW and WARN as enforcing would', async () => {
      const s = stage.scene();
      expect(await s.reserve('a', 100, shadow)).toMatchObject({ decision: 'ALLOW' });
      expect(await s.reserve('b', 10, shadow)).toMatchObject({ decision: 'WARN' });
      expect(await s.reserve('c', 1, shadow)).toMatchObject({ decision: 'REJECT' });
    });

    it('check reports REJECT without an outcome of refusal', async () => {
      const s = stage.scene();
      expect(await s.check('a', 111, shadow)).toMatchObject({
        outcome: 'reserved',
        decision: 'REJECT',
      });
      expect(await s.used()).toEqual([0, 0]);
    });

    it('turned to enforce, refuses growth but not what was reserved before', async () => {
      const s = stage.scene();
      const hold = await s.hold('a', 150, shadow);
      expect((await s.reserve('b', 1)).outcome).toBe('rejected');
      expect((await s.commit(hold)).outcome).toBe('committed');
      expect(await s.reserve('a', 140)).toMatchObject({ decision: 'WARN', usedAfterBytes: 140 });
    });
  });

  describe('configuration stamps', () => {
    it('answers stale below the newest stamp seen, and changes nothing', async () => {
      const s = stage.scene();
      await s.put('a', 10, { stamp: 5 });
      expect(await s.reserve('b', 10, { stamp: 4 })).toEqual({ outcome: 'stale', stamp: 5 });
      expect(await s.used()).toEqual([10, 0]);
      expect(await s.isPending('b')).toBe(false);
    });

    it('does not take a stamp that comes with an id it knows', async () => {
      const s = stage.scene();
      await s.put('a', 10, { stamp: 5 });
      const id = 'sent-twice';
      await s.reserve('b', 10, { stamp: 5, id });
      expect((await s.reserve('b', 10, { stamp: 9, id })).outcome).toBe('reserved');
      expect((await s.reserve('c', 10, { stamp: 6 })).outcome).toBe('reserved');
    });

    it('takes the same stamp and every newer one', async () => {
      const s = stage.scene();
      await s.put('a', 10, { stamp: 5 });
      expect((await s.reserve('b', 10, { stamp: 5 })).outcome).toBe('reserved');
      expect((await s.reserve('c', 10, { stamp: 9 })).outcome).toBe('reserved');
      expect(await s.reserve('d', 10, { stamp: 8 })).toEqual({ outcome: 'stale', stamp: 9 });
    });

    it('says stale rather than rejected', async () => {
      const s = stage.scene();
      await s.put('a', 10, { stamp: 5 });
      expect((await s.reserve('b', 1_000, { stamp: 4 })).outcome).toBe('stale');
    });

    it('can be sent again with the same id after the configuration was read anew', async () => {
      const s = stage.scene();
      const id = randomUUID();
      await s.put('a', 10, { stamp: 5 });
      expect((await s.reserve('b', 10, { stamp: 4, id })).outcome).toBe('stale');
      expect((await s.reserve('b', 20, { stamp: 5, id })).outcome).toBe('reserved');
      expect(await s.used()).toEqual([10, 20]);
    });

    it('survives a drop', async () => {
      const s = stage.scene();
      await s.put('a', 10, { stamp: 5 });
      await s.tracker.drop(s.tenant);
      expect(await s.reserve('b', 10, { stamp: 4 })).toEqual({ outcome: 'stale', stamp: 5 });
    });
  });

  describe('the largest numbers', () => {
    const huge = { quotaBytes: MAX_BYTES, hardBytes: MAX_BYTES };

    it('counts exactly up to 2^53 − 1', async () => {
      const s = stage.scene(huge);
      await s.put('a', MAX_BYTES - 1);
      expect(await s.reserve('b', 1)).toMatchObject({
        decision: 'ALLOW',
        usedAfterBytes: MAX_BYTES,
        usage: { committedBytes: MAX_BYTES - 1, reservedBytes: 1 },
      });
      expect(await s.used()).toEqual([MAX_BYTES - 1, 1]);
      expect((await s.entry('a'))?.bytes).toBe(MAX_BYTES - 1);
    });

    it('refuses a reserve that would pass 2^53 − 1, with nothing changed', async () => {
      const s = stage.scene(huge);
      await s.put('a', MAX_BYTES - 1);
      const outcome = await s.reserve('b', 2).then(
        (reply) => reply.outcome,
        () => 'error',
      );
      expect(['rejected', 'error']).toContain(outcome);
      expect(await s.used()).toEqual([MAX_BYTES - 1, 0]);
      expect(await s.isPending('b')).toBe(false);
    });

    it('refuses it in shadow as well, where no limit would', async () => {
      const s = stage.scene(huge);
      await s.put('a', MAX_BYTES - 1);
      await expect(s.reserve('b', MAX_BYTES, { enforce: false })).rejects.toThrow();
      expect(await s.used()).toEqual([MAX_BYTES - 1, 0]);
      expect(await s.isPending('b')).toBe(false);
    });

    it('refuses a commit that would pass it, and keeps the reservation', async () => {
      const s = stage.scene();
      await s.put('a', 100);
      const hold = await s.hold('b', 5, { enforce: false });
      await expect(s.commit(hold, MAX_BYTES, { enforce: false })).rejects.toThrow();
      expect(await s.used()).toEqual([100, 5]);
      expect((await s.commit(hold)).outcome).toBe('committed');
      expect(await s.used()).toEqual([105, 0]);
    });

    it.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])(
      'refuses a size of %p before anything changes',
      async (bytes) => {
        const s = stage.scene();
        const hold = await s.hold('a', 5);
        await expect(s.reserve('b', bytes)).rejects.toThrow();
        await expect(s.check('b', bytes)).rejects.toThrow();
        await expect(s.commit(hold, bytes)).rejects.toThrow();
        await expect(s.refund(bytes)).rejects.toThrow();
        expect(await s.used()).toEqual([0, 5]);
      },
    );
  });
}

/** What reserve and check must agree on. */
function verdictOf(reply: object): unknown {
  const { decision, usedAfterBytes } = reply as { decision?: unknown; usedAfterBytes?: unknown };
  return { decision, usedAfterBytes };
}
