import { bytesOf, type Stage } from './scene';

export function describeOverwrites(stage: Stage): void {
  describe('an overwrite', () => {
    it('charges the difference', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      const hold = await s.hold('k', 80);
      expect(hold.reply).toMatchObject({
        usedAfterBytes: 80,
        usage: { committedBytes: 60, reservedBytes: 20 },
      });
      expect(await s.commit(hold)).toMatchObject({
        outcome: 'committed',
        replaced: true,
        usage: { committedBytes: 80, reservedBytes: 0 },
      });
      expect(await s.used()).toEqual([80, 0]);
    });

    // Optional in the port: a tracker that leaves grownBytes out says nothing that could be wrong.
    (stage.options.saysGrowth === false ? it.skip : it)(
      'says what its hold adds, the writes before it and beside it considered',
      async () => {
        const s = stage.scene();
        const adds = async (key: string | undefined, bytes: number): Promise<unknown> =>
          (await s.hold(key, bytes)).reply.grownBytes;
        await s.put('k', 60);
        expect(await adds('k', 10)).toBe(0);
        expect(await adds('k', 80)).toBe(20);
        expect(await adds('k', 85)).toBe(5);
        expect(await adds('k', 85)).toBe(0);
        expect(await adds('other', 7)).toBe(7);
        expect(await adds(undefined, 3)).toBe(3);
        expect(await s.used()).toEqual([60, 35]);
      },
    );

    it('of equal size holds nothing', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      const hold = await s.hold('k', 60);
      expect(bytesOf(hold.reply.usage)).toEqual([60, 0]);
      await s.commit(hold);
      expect(await s.used()).toEqual([60, 0]);
    });

    it('that shrinks gives back at its commit, not before', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      const hold = await s.hold('k', 10);
      expect(hold.reply.usedAfterBytes).toBe(10);
      expect(await s.used()).toEqual([60, 0]);
      await s.commit(hold);
      expect(await s.used()).toEqual([10, 0]);
    });

    it('fits where only the difference does', async () => {
      const s = stage.scene();
      await s.put('k', 100);
      expect((await s.reserve('k', 111)).outcome).toBe('rejected');
      expect((await s.reserve('k', 110)).outcome).toBe('reserved');
    });

    it('tells a new key from a replaced one', async () => {
      const s = stage.scene();
      expect((await s.put('k', 10)).replaced).toBe(false);
      expect((await s.put('k', 10)).replaced).toBe(true);
      await s.remove('k');
      expect((await s.put('k', 10)).replaced).toBe(false);
    });

    it('released leaves the old entry as it was', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      await s.release(await s.hold('k', 80));
      expect(await s.used()).toEqual([60, 0]);
      expect((await s.entry('k'))?.bytes).toBe(60);
    });
  });

  describe('when the old entry goes while its overwrite is on the way', () => {
    it('deleted: the hold takes over what the delete would have freed', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      const hold = await s.hold('k', 80);
      expect(await s.remove('k')).toMatchObject({
        removed: true,
        freedBytes: 60,
        usage: { committedBytes: 0, reservedBytes: 80 },
      });
      expect((await s.reserve('other', 31)).outcome).toBe('rejected');
      await s.commit(hold);
      expect(await s.used()).toEqual([80, 0]);
    });

    it('deleted under a shrinking overwrite: only the rest comes free', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      const hold = await s.hold('k', 10);
      await s.remove('k');
      expect(await s.used()).toEqual([0, 10]);
      await s.commit(hold);
      expect(await s.used()).toEqual([10, 0]);
    });

    it('deleted, and the overwrite released: all is free', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      const hold = await s.hold('k', 80);
      await s.remove('k');
      await s.release(hold);
      expect(await s.used()).toEqual([0, 0]);
    });

    it('expired: the hold takes over its bytes', async () => {
      const s = stage.scene();
      await s.put('k', 60, { ttlMs: 30 });
      const hold = await s.hold('k', 80);
      await s.untilGone('k');
      expect(await s.used()).toEqual([0, 80]);
      expect((await s.reserve('other', 31)).outcome).toBe('rejected');
      expect(await s.commit(hold)).toMatchObject({ outcome: 'committed', replaced: false });
      expect(await s.used()).toEqual([80, 0]);
    });

    it('shrunk by another write: the hold takes over its bytes', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      const first = await s.hold('k', 80);
      const second = await s.hold('k', 5);
      await s.commit(second);
      expect(await s.used()).toEqual([5, 75]);
      await s.commit(first);
      expect(await s.used()).toEqual([80, 0]);
    });

    it('grown by another write: the hold falls', async () => {
      const s = stage.scene();
      const first = await s.hold('k', 40);
      const second = await s.hold('k', 90);
      await s.commit(second);
      expect(await s.used()).toEqual([90, 0]);
      await s.commit(first);
      expect(await s.used()).toEqual([40, 0]);
    });
  });

  describe('many writers of one key', () => {
    it('two need room for the larger only', async () => {
      const s = stage.scene();
      const a = await s.hold('k', 75);
      const b = await s.hold('k', 75);
      expect(b.reply).toMatchObject({ decision: 'ALLOW', usedAfterBytes: 75 });
      expect(await s.used()).toEqual([0, 75]);
      await s.commit(a);
      expect(await s.used()).toEqual([75, 0]);
      await s.commit(b);
      expect(await s.used()).toEqual([75, 0]);
    });

    it('the second pays what it adds to the first', async () => {
      const s = stage.scene();
      await s.hold('k', 60);
      const b = await s.hold('k', 90);
      expect(b.reply).toMatchObject({ usedAfterBytes: 90, usage: { reservedBytes: 90 } });
      expect(await s.reserve('k', 111)).toMatchObject({ outcome: 'rejected', usedAfterBytes: 111 });
    });

    it('released from the larger to the smaller, the hold follows', async () => {
      const s = stage.scene();
      const holds = [];
      for (const bytes of [10, 90, 50, 90, 30]) holds.push(await s.hold('k', bytes));
      const [h10, h90, h50, h90b, h30] = holds;
      const seen = [];
      for (const hold of [h90!, h90b!, h10!, h50!, h30!]) {
        await s.release(hold);
        seen.push((await s.used())[1]);
      }
      expect(seen).toEqual([90, 50, 50, 30, 0]);
      expect(await s.isPending('k')).toBe(false);
    });

    it('the last commit wins, and nothing is left over', async () => {
      const s = stage.scene();
      const holds = await Promise.all(
        Array.from({ length: 20 }, (_, i) => s.hold('k', 10 + i * 5)),
      );
      expect(await s.used()).toEqual([0, 105]);
      for (const hold of holds.toReversed()) await s.commit(hold);
      expect((await s.entry('k'))?.bytes).toBe(10);
      expect(await s.used()).toEqual([10, 0]);
    });

    it('counts the other open writes in the forecast of a shrinking one', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      await s.hold('k', 40);
      expect((await s.hold('k', 10)).reply.usedAfterBytes).toBe(40);
    });

    it('a lapsed writer leaves the others their hold', async () => {
      const s = stage.scene();
      await s.hold('k', 40);
      await s.lapsed('k', 30);
      expect(await s.used()).toEqual([0, 40]);
      expect(await s.isPending('k')).toBe(true);
    });
  });
}
