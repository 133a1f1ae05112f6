import { randomUUID } from 'node:crypto';
import type { Stage } from './scene';

export function describeGivingBack(stage: Stage): void {
  describe('remove', () => {
    it('gives back the bytes of the entry', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      expect(await s.remove('k')).toEqual({
        removed: true,
        freedBytes: 60,
        usage: { committedBytes: 0, reservedBytes: 0, unmeteredBytes: 0 },
      });
      expect(await s.entry('k')).toBeNull();
    });

    it('finds nothing where there is no entry', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      expect(await s.remove('other')).toMatchObject({ removed: false, freedBytes: 0 });
      expect(await s.used()).toEqual([60, 0]);
    });

    it('sent again gives the same answer, and leaves alone what was written in between', async () => {
      const s = stage.scene();
      const id = randomUUID();
      await s.put('k', 60);
      await s.remove('k', { id });
      await s.put('k', 25);
      expect(await s.remove('k', { id })).toEqual({
        removed: true,
        freedBytes: 60,
        usage: { committedBytes: 25, reservedBytes: 0, unmeteredBytes: 0 },
      });
      expect(await s.entry('k')).toMatchObject({ bytes: 25 });
    });

    it('that found nothing finds nothing when sent again', async () => {
      const s = stage.scene();
      const id = randomUUID();
      await s.put('other', 1);
      await s.remove('k', { id });
      await s.put('k', 25);
      expect(await s.remove('k', { id })).toMatchObject({ removed: false, freedBytes: 0 });
      expect(await s.used()).toEqual([26, 0]);
    });

    it('leaves a write on its way its hold', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      expect(await s.remove('k')).toMatchObject({ removed: false, usage: { reservedBytes: 60 } });
      expect((await s.commit(hold)).outcome).toBe('committed');
      expect(await s.used()).toEqual([60, 0]);
    });
  });

  describe('charges without a key', () => {
    it('count in used and are listed nowhere', async () => {
      const s = stage.scene();
      const hold = await s.hold(undefined, 40);
      expect(hold.reply).toMatchObject({
        decision: 'ALLOW',
        usedAfterBytes: 40,
        usage: { committedBytes: 0, reservedBytes: 40 },
      });
      expect(await s.commit(hold)).toEqual({
        outcome: 'committed',
        replaced: false,
        usage: { committedBytes: 40, reservedBytes: 0, unmeteredBytes: 0 },
      });
      expect((await s.tracker.entries(s.tenant, null, 10)).entries).toEqual([]);
    });

    it('add up: none replaces another', async () => {
      const s = stage.scene();
      await s.put(undefined, 40);
      await s.put(undefined, 40);
      expect(await s.used()).toEqual([80, 0]);
      expect((await s.reserve(undefined, 31)).outcome).toBe('rejected');
      expect(await s.reserve(undefined, 30)).toMatchObject({ decision: 'WARN' });
    });

    it('stand beside entries under one limit', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      await s.put(undefined, 50);
      expect(await s.used()).toEqual([110, 0]);
      expect((await s.reserve('other', 1)).outcome).toBe('rejected');
    });

    it('committed smaller give the rest back, larger are checked', async () => {
      const s = stage.scene();
      await s.commit(await s.hold(undefined, 40), 10);
      expect(await s.used()).toEqual([10, 0]);
      const hold = await s.hold(undefined, 40);
      expect((await s.commit(hold, 101)).outcome).toBe('refused');
      expect(await s.used()).toEqual([10, 0]);
      const fits = await s.hold(undefined, 40);
      expect((await s.commit(fits, 100)).outcome).toBe('committed');
      expect(await s.used()).toEqual([110, 0]);
    });

    it('are given back by refund', async () => {
      const s = stage.scene();
      await s.put(undefined, 40);
      expect(await s.refund(15)).toEqual({
        freedBytes: 15,
        underflowBytes: 0,
        usage: { committedBytes: 25, reservedBytes: 0, unmeteredBytes: 0 },
      });
      expect(await s.used()).toEqual([25, 0]);
    });

    it('are refunded once for each id', async () => {
      const s = stage.scene();
      const id = randomUUID();
      await s.put(undefined, 40);
      await s.refund(15, id);
      expect(await s.refund(15, id)).toMatchObject({ freedBytes: 15, underflowBytes: 0 });
      expect(await s.used()).toEqual([25, 0]);
    });

    it('never go below zero: what is asked for beyond is reported', async () => {
      const s = stage.scene();
      const id = randomUUID();
      await s.put(undefined, 40);
      expect(await s.refund(55, id)).toMatchObject({
        freedBytes: 40,
        underflowBytes: 15,
        usage: { committedBytes: 0 },
      });
      await s.put(undefined, 5);
      expect(await s.refund(55, id)).toMatchObject({ freedBytes: 40, underflowBytes: 15 });
      expect(await s.used()).toEqual([5, 0]);
    });

    it('are all that refund gives back: entries and holds stay', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      await s.hold(undefined, 20);
      expect(await s.refund(10)).toMatchObject({ freedBytes: 0, underflowBytes: 10 });
      expect(await s.used()).toEqual([60, 20]);
    });
  });

  describe('versions', () => {
    it('an older commit frees its hold and changes nothing else', async () => {
      const s = stage.scene();
      const slow = await s.hold('k', 80);
      const fast = await s.hold('k', 30);
      await s.commit(fast, 30, { version: 6 });
      expect(await s.commit(slow, 80, { version: 5 })).toMatchObject({
        outcome: 'committed',
        usage: { committedBytes: 30, reservedBytes: 0 },
      });
      expect(await s.entry('k')).toEqual({ bytes: 30, version: 6 });
    });

    it('a newer or equal commit replaces', async () => {
      const s = stage.scene();
      await s.put('k', 30, { version: 6 });
      await s.put('k', 20, { version: 6 });
      expect(await s.entry('k')).toEqual({ bytes: 20, version: 6 });
      await s.put('k', 10, { version: 7 });
      expect(await s.entry('k')).toEqual({ bytes: 10, version: 7 });
      expect(await s.used()).toEqual([10, 0]);
    });

    it('an older commit is not refused for its size', async () => {
      const s = stage.scene();
      await s.put('k', 30, { version: 6 });
      await s.put('other', 60);
      const slow = await s.hold('k', 40);
      expect((await s.commit(slow, 500, { version: 5 })).outcome).toBe('committed');
      expect(await s.used()).toEqual([90, 0]);
      expect(await s.isPending('k')).toBe(false);
    });

    it('an older remove is ignored', async () => {
      const s = stage.scene();
      await s.put('k', 30, { version: 6 });
      expect(await s.remove('k', { version: 5 })).toMatchObject({ removed: false, freedBytes: 0 });
      expect(await s.used()).toEqual([30, 0]);
      expect(await s.remove('k', { version: 6 })).toMatchObject({ removed: true, freedBytes: 30 });
    });

    it('a removal is remembered while a write of the key is on its way', async () => {
      const s = stage.scene();
      await s.put('k', 30, { version: 5 });
      const slow = await s.hold('k', 80);
      await s.remove('k', { version: 7 });
      expect((await s.commit(slow, 80, { version: 6 })).outcome).toBe('committed');
      expect(await s.entry('k')).toBeNull();
      expect(await s.used()).toEqual([0, 0]);
    });

    it('a removal of nothing is remembered too', async () => {
      const s = stage.scene();
      const slow = await s.hold('k', 80);
      expect(await s.remove('k', { version: 7 })).toMatchObject({ removed: false });
      await s.commit(slow, 80, { version: 6 });
      expect(await s.entry('k')).toBeNull();
    });

    it('a write newer than the remembered removal counts', async () => {
      const s = stage.scene();
      const slow = await s.hold('k', 80);
      await s.remove('k', { version: 7 });
      await s.commit(slow, 80, { version: 8 });
      expect(await s.entry('k')).toEqual({ bytes: 80, version: 8 });
    });

    it('the newest write is remembered after its removal, while older ones are on their way', async () => {
      const s = stage.scene();
      const slow = await s.hold('k', 80);
      const fast = await s.hold('k', 30);
      await s.commit(fast, 30, { version: 6 });
      await s.remove('k');
      await s.commit(slow, 80, { version: 5 });
      expect(await s.entry('k')).toBeNull();
      expect(await s.used()).toEqual([0, 0]);
    });

    it('are forgotten with the last open write', async () => {
      const s = stage.scene();
      const slow = await s.hold('k', 80);
      await s.remove('k', { version: 7 });
      await s.release(slow);
      await s.put('k', 20, { version: 3 });
      expect(await s.entry('k')).toEqual({ bytes: 20, version: 3 });
    });

    it('do not matter to writes and removals that have none', async () => {
      const s = stage.scene();
      await s.put('k', 30, { version: 6 });
      await s.put('k', 40);
      expect(await s.entry('k')).toEqual({ bytes: 40, version: 0 });
      await s.put('k', 30, { version: 6 });
      expect(await s.remove('k')).toMatchObject({ removed: true });
    });

    it('of one key mean nothing to another', async () => {
      const s = stage.scene();
      await s.put('k', 30, { version: 9 });
      await s.put('other', 20, { version: 1 });
      expect(await s.entry('other')).toEqual({ bytes: 20, version: 1 });
    });

    it('let an older commit that comes after its deadline be ignored as well', async () => {
      const s = stage.scene();
      const late = await s.lapsed('k', 80);
      await s.put('k', 30, { version: 6 });
      expect((await s.commit(late, 80, { version: 5 })).outcome).toBe('committed');
      expect(await s.entry('k')).toEqual({ bytes: 30, version: 6 });
      expect(await s.used()).toEqual([30, 0]);
    });
  });
}
