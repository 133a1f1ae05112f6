import { BYTES_PER_MB, usedBytes, type Usage } from '../../../libs/quota/src/core';
import type { Stage } from './scene';

const times = <T>(count: number, make: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => make(i)));

export function describeConcurrency(stage: Stage): void {
  describe('at the same time', () => {
    it('300 writes of 1 MB at a limit of 100 MB: exactly 100', async () => {
      const limit = 100 * BYTES_PER_MB;
      const s = stage.scene({ quotaBytes: limit, hardBytes: limit });
      const replies = await times(300, (i) => s.reserve(`k${String(i)}`, BYTES_PER_MB));
      expect(replies.filter(({ outcome }) => outcome === 'reserved')).toHaveLength(100);
      expect(await s.used()).toEqual([0, limit]);
    });

    it('the same without keys', async () => {
      const s = stage.scene({ quotaBytes: 100, hardBytes: 100 });
      const replies = await times(300, () => s.reserve(undefined, 1));
      expect(replies.filter(({ outcome }) => outcome === 'reserved')).toHaveLength(100);
      expect(await s.used()).toEqual([0, 100]);
    });

    it('300 writers of one key take the room of one', async () => {
      const s = stage.scene();
      const replies = await times(300, () => s.reserve('k', 100));
      expect(replies.every(({ outcome }) => outcome === 'reserved')).toBe(true);
      expect(await s.used()).toEqual([0, 100]);
    });

    it('a small write that fits is admitted amid huge ones that do not', async () => {
      const s = stage.scene();
      await s.put('base', 99);
      const huge = times(50, (i) => s.reserve(`huge${String(i)}`, 1_000));
      const small = await s.reserve('small', 1);
      expect(small).toMatchObject({ outcome: 'reserved', decision: 'ALLOW', usedAfterBytes: 100 });
      expect((await huge).every(({ outcome }) => outcome === 'rejected')).toBe(true);
    });

    it('never an instant beyond the hard limit, nor below zero', async () => {
      const s = stage.scene({ quotaBytes: 500, hardBytes: 500 });
      const seen: number[] = [];
      const note = ({ usage }: { usage: Usage }): number => seen.push(usedBytes(usage));
      await times(200, async (i) => {
        const key = `k${String(i % 20)}`;
        const bytes = 10 + (i % 7) * 15;
        const id = `${s.tenant}-${String(i)}`;
        const reply = await s.reserve(key, bytes, { id });
        if (reply.outcome === 'stale') throw new Error('There is one configuration only.');
        note(reply);
        if (reply.outcome === 'rejected') return;
        const { generation } = reply;
        if (i % 4 === 0) note(await s.remove(`k${String((i * 7) % 20)}`));
        if (i % 3 === 0) note(await s.release({ id }));
        const settled = await s.commit({ id, key, bytes, generation, reply }, bytes + (i % 5) * 20);
        if (settled.outcome !== 'bounced') note(settled);
      });
      expect(Math.max(...seen)).toBeLessThanOrEqual(500);
      expect(Math.max(...seen)).toBeGreaterThan(400);
      expect(Math.min(...seen)).toBeGreaterThanOrEqual(0);
      expect((await s.used())[1]).toBe(0);
    });

    it('100 mixed lives end in the exact sum of the entries', async () => {
      const s = stage.scene({ quotaBytes: 1_000_000 });
      const expected = new Map<string, number>();
      await times(100, async (i) => {
        const key = `k${String(i)}`;
        const hold = await s.hold(key, 100 + i);
        switch (i % 5) {
          case 0:
            await s.commit(hold);
            expected.set(key, 100 + i);
            break;
          case 1:
            await s.commit(hold, 3 * i);
            expected.set(key, 3 * i);
            break;
          case 2:
            await s.release(hold);
            break;
          case 3:
            await s.commit(hold);
            await s.remove(key);
            break;
          default:
            await Promise.all([s.commit(hold), s.commit(hold), s.commit(hold)]);
            await s.put(key, i);
            expected.set(key, i);
        }
      });
      const sum = [...expected.values()].reduce((all, bytes) => all + bytes, 0);
      expect(await s.used()).toEqual([sum, 0]);
      for (const [key, bytes] of expected) expect((await s.entry(key))?.bytes).toBe(bytes);
      expect(await s.tracker.recount(s.tenant)).toMatchObject({ driftBytes: 0 });
    });

    it('overwrites, removals and lapses of one key leave nothing over', async () => {
      const s = stage.scene({ quotaBytes: 10_000 });
      await times(120, async (i) => {
        const hold = await s.hold('k', i, i % 6 === 0 ? { holdMs: 20 } : {});
        if (i % 6 === 0) return;
        if (i % 6 === 1) await s.release(hold);
        else if (i % 6 === 2) await s.remove('k');
        else await s.commit(hold, i + 5);
        if (i % 6 === 2) await s.commit(hold, Math.floor(i / 2));
      });
      await s.lapsed('other', 1);
      const last = (await s.entry('k'))?.bytes ?? 0;
      expect(await s.used()).toEqual([last, 0]);
    });

    it('one release for many senders frees the bytes once', async () => {
      const s = stage.scene();
      await s.hold('stays', 20);
      const hold = await s.hold('k', 60);
      const replies = await times(50, () => s.release(hold));
      expect(replies.filter(({ outcome }) => outcome === 'released')).toHaveLength(1);
      expect(await s.used()).toEqual([0, 20]);
    });

    it('a commit and a release of one id: whichever is first, once', async () => {
      for (let round = 0; round < 20; round++) {
        const s = stage.scene();
        const hold = await s.hold('k', 60);
        const [released, committed] = await Promise.all([s.release(hold), s.commit(hold)]);
        const usage = released.outcome === 'released' ? [0, 0] : [60, 0];
        expect(committed.outcome).toBe(released.outcome === 'released' ? 'bounced' : 'committed');
        expect(await s.used()).toEqual(usage);
      }
    });

    it('commits that grow beyond their holds never pass the limit together', async () => {
      const s = stage.scene({ quotaBytes: 100, hardBytes: 100 });
      const holds = await times(10, (i) => s.hold(`k${String(i)}`, 5));
      const replies = await Promise.all(holds.map((hold) => s.commit(hold, 30)));
      const admitted = replies.filter(({ outcome }) => outcome === 'committed').length;
      expect(await s.used()).toEqual([admitted * 30, 0]);
      // At least one of the first finds 25 more; at the end three times 30 fit, not four.
      expect(admitted).toBeGreaterThanOrEqual(1);
      expect(admitted).toBeLessThanOrEqual(3);
    });
  });
}
