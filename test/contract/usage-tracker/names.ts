import { randomUUID } from 'node:crypto';
import { Scene, type Stage } from './scene';

const ODD_KEYS: readonly (readonly [string, string])[] = [
  ['512 bytes', 'k'.repeat(512)],
  ['512 bytes of two-byte letters', 'é'.repeat(256)],
  ['one space', ' '],
  ['spaces around', '  a b  '],
  ['newline and return', 'a\r\nb\n'],
  ['NUL', 'a\u0000b'],
  ['a lone NUL', '\u0000'],
  ['unicode', 'ключ-漢字-👩‍👩‍👧'],
  ['not normalised', 'e\u0301'],
  ['__proto__', '__proto__'],
  ['constructor', 'constructor'],
  ['a hash tag', '{}'],
  ['a broken hash tag', 'x}y'],
  ['another broken hash tag', '{x'],
  ['separators', 'a:b/c|d,e;f>g'],
  ['a glob', '*?[a-z]'],
  ['a number', '0'],
  ['a negative number', '-1'],
  ['quotes and backslash', '"\'\\`%s$1'],
  ['null', 'null'],
  ['undefined', 'undefined'],
];

const ODD_TENANTS = [
  'constructor',
  'toString',
  'hasOwnProperty',
  '0',
  '7-',
  'a..b',
  'a__b',
  'x'.repeat(128),
];

export function describeNames(stage: Stage): void {
  describe('a key may be', () => {
    it.each(ODD_KEYS)('%s', async (_, key) => {
      const s = stage.scene();
      await s.put(key, 30);
      const hold = await s.hold(key, 50);
      expect(hold.reply.usedAfterBytes).toBe(50);
      await s.commit(hold, 40, { ttlMs: 60_000 });
      expect(await s.entry(key)).toMatchObject({ bytes: 40 });
      const { entries } = await s.tracker.entries(s.tenant, null, 10);
      expect(entries.map((view) => view.key)).toEqual([key]);
      expect(await s.remove(key)).toMatchObject({ removed: true, freedBytes: 40 });
      expect(await s.used()).toEqual([0, 0]);
    });

    it('any of these beside all the others', async () => {
      const s = stage.scene({ quotaBytes: 1_000 });
      for (const [i, [, key]] of ODD_KEYS.entries()) await s.put(key, i);
      const views = await s.tracker.lookup(
        s.tenant,
        ODD_KEYS.map(([, key]) => key),
      );
      expect(views.map(({ entry }) => entry?.bytes)).toEqual(ODD_KEYS.map((_, i) => i));
    });

    it('neither empty, nor longer than 512 bytes', async () => {
      const s = stage.scene();
      await expect(s.reserve('', 1)).rejects.toThrow();
      await expect(s.reserve('k'.repeat(513), 1)).rejects.toThrow();
      await expect(s.reserve('é'.repeat(257), 1)).rejects.toThrow();
      expect(await s.used()).toEqual([0, 0]);
    });

    it('different from another only in case, or in normalisation', async () => {
      const s = stage.scene();
      for (const key of ['k', 'K', '\u00e9', 'e\u0301', 'k ']) await s.put(key, 1);
      expect(await s.used()).toEqual([5, 0]);
    });
  });

  describe('tenants', () => {
    it.each(ODD_TENANTS)('may be called %s', async (name) => {
      // Made unique where there is room, since tenants are not cleaned up.
      const tenant = name.length === 128 ? name : `${name}-${randomUUID()}`;
      for (const id of new Set([tenant, name])) {
        const s = new Scene(stage.harness().tracker, id, { quotaBytes: 100, hardBytes: 110 });
        await s.tracker.drop(id);
        await s.put('k', 60);
        expect(await s.used()).toEqual([60, 0]);
        await s.tracker.drop(id);
        expect(await s.used()).toEqual([0, 0]);
      }
    });

    it('are strangers to each other', async () => {
      const a = stage.scene();
      const b = stage.scene();
      await a.put('k', 100);
      await a.put(undefined, 10);
      expect(await b.used()).toEqual([0, 0]);
      expect(await b.entry('k')).toBeNull();
      expect(await b.reserve('k', 110)).toMatchObject({ outcome: 'reserved', usedAfterBytes: 110 });
      await b.tracker.drop(b.tenant);
      expect(await a.used()).toEqual([110, 0]);
      expect(await a.entry('k')).toMatchObject({ bytes: 100 });
    });

    it('may use the same ids', async () => {
      const a = stage.scene();
      const b = stage.scene();
      const id = randomUUID();
      const ours = await a.hold('k', 60, { id });
      const theirs = await b.hold('other', 30, { id });
      await a.release(ours);
      expect(await b.used()).toEqual([0, 30]);
      expect((await b.commit(theirs)).outcome).toBe('committed');
    });

    it('do not take each other for a prefix of themselves', async () => {
      const a = stage.scene();
      const { tracker, limits } = a;
      const longer = new Scene(tracker, `${a.tenant}.`, limits);
      await a.put('k', 10);
      await longer.put('k', 20);
      expect(await a.used()).toEqual([10, 0]);
      expect(await longer.used()).toEqual([20, 0]);
    });

    it('cannot commit into each other', async () => {
      const a = stage.scene();
      const b = stage.scene();
      const hold = await a.hold('k', 60);
      await b.put('mine', 10);
      expect(await b.commit(hold)).toEqual({ outcome: 'bounced' });
      expect(await b.used()).toEqual([10, 0]);
      expect(await a.used()).toEqual([0, 60]);
    });
  });

  describe('a tenant never seen', () => {
    it('has zeros, and nothing to give back', async () => {
      const s = stage.scene();
      const zero = { committedBytes: 0, reservedBytes: 0, unmeteredBytes: 0 };
      expect(await s.tracker.read(s.tenant)).toEqual(zero);
      expect(await s.tracker.lookup(s.tenant, ['k'])).toEqual([
        { key: 'k', entry: null, pending: false },
      ]);
      expect(await s.tracker.recount(s.tenant)).toEqual({ driftBytes: 0, usage: zero });
      expect(await s.tracker.settled(s.tenant, 10)).toBe(0);
      expect(await s.tracker.sweep(s.tenant, 10)).toEqual({
        expiredEntries: 0,
        expiredReservations: 0,
        freedBytes: 0,
        more: false,
        lapsed: false,
        unsettled: 0,
      });
      expect(await s.remove('k')).toEqual({ removed: false, freedBytes: 0, usage: zero });
      expect(await s.refund(5)).toEqual({ freedBytes: 0, underflowBytes: 5, usage: zero });
      expect(await s.release({ id: 'x' })).toEqual({ outcome: 'settled', usage: zero });
      expect(await s.tracker.correct(s.tenant, [])).toEqual({ applied: 0, deltaBytes: 0 });
    });

    it('bounces a commit', async () => {
      const s = stage.scene();
      const stranger = await stage.scene().hold('k', 10);
      expect(await s.commit(stranger)).toEqual({ outcome: 'bounced' });
      expect(await s.used()).toEqual([0, 0]);
    });

    it('is known by its first reservation, not by what came before', async () => {
      const s = stage.scene();
      const id = randomUUID();
      // A mark for this id would be state: without one the reserve is an ordinary first one.
      await s.release({ id });
      const hold = await s.hold('k', 40, { id });
      expect(await s.used()).toEqual([0, 40]);
      expect((await s.commit(hold)).outcome).toBe('committed');
    });

    it('gets no state from reading, refusals, or attempts to give back', async () => {
      const s = stage.scene();
      const { tracker, tenant } = s;
      const hasState = () => stage.harness().hasState(tenant);
      const stranger = await stage.scene().hold('k', 10);
      expect((await s.reserve('k', 111)).outcome).toBe('rejected');
      await s.check('k', 5);
      await s.commit(stranger);
      await s.release({ id: 'x' });
      await s.remove('k');
      await s.refund(5);
      await tracker.read(tenant);
      await tracker.sweep(tenant, 10);
      await tracker.recount(tenant);
      await tracker.entries(tenant, null, 10);
      await tracker.lookup(tenant, ['k']);
      await tracker.correct(tenant, [{ key: 'k', seen: { bytes: 1, version: 0 } }]);
      await tracker.drop(tenant);
      await expect(s.reserve('k', -1)).rejects.toThrow();
      expect(await hasState()).toBe(false);
      await s.hold('k', 10);
      expect(await hasState()).toBe(true);
    });
  });
}
