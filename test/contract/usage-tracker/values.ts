import { randomBytes, randomUUID } from 'node:crypto';
import { untilDue, type Scene, type Stage } from './scene';

const body = (bytes: number): Buffer => randomBytes(bytes);

/** Stores a value as a metered write of its own size. */
async function store(s: Scene, key: string, content: Buffer, meta = '', ttlMs?: number) {
  const value = { body: content, meta };
  return s.put(key, content.length, { value, ...(ttlMs === undefined ? {} : { ttlMs }) });
}

/** Usage with what is unmetered: [committed, reserved, unmetered]. */
async function all(s: Scene): Promise<number[]> {
  const { committedBytes, reservedBytes, unmeteredBytes } = await s.tracker.read(s.tenant);
  return [committedBytes, reservedBytes, unmeteredBytes];
}

export function describeValues(stage: Stage): void {
  // A tracker that keeps no values has no getValue and no putUnmetered: nothing to hold it to.
  if (!stage.options.keepsValues) {
    describe.skip('values (skipped: this tracker keeps none)', () =>
      it('are kept elsewhere', () => {}));
    return;
  }
  describeStored(stage);
  describeUnmetered(stage);
}

function describeStored(stage: Stage): void {
  describe('values', () => {
    it('are stored by the commit, with their expiry and the usage', async () => {
      const s = stage.scene();
      const content = body(40);
      const { expiresAt } = await store(s, 'k', content, 'text/plain', 60_000);
      expect(await s.values.getValue(s.tenant, 'k')).toEqual({
        value: { body: content, meta: 'text/plain', expiresAt },
        usage: { committedBytes: 40, reservedBytes: 0, unmeteredBytes: 0 },
      });
    });

    it('are not there before the commit, nor after a release', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 40);
      expect(await s.value('k')).toBeNull();
      await s.release(hold);
      expect(await s.value('k')).toBeNull();
    });

    it('are replaced by the next commit', async () => {
      const s = stage.scene();
      await store(s, 'k', Buffer.from('old'), 'a', 60_000);
      await store(s, 'k', Buffer.from('newer'), 'b');
      expect(await s.value('k')).toEqual({ body: Buffer.from('newer'), meta: 'b' });
      expect(await all(s)).toEqual([5, 0, 0]);
    });

    it('are dropped by a commit without one', async () => {
      const s = stage.scene();
      await store(s, 'k', Buffer.from('old'));
      await s.put('k', 7);
      expect(await s.value('k')).toBeNull();
      expect(await s.entry('k')).toMatchObject({ bytes: 7 });
    });

    it('stay when the commit is refused, bounces, or is older', async () => {
      const s = stage.scene();
      const value = { body: Buffer.from('kept'), meta: '' };
      await s.put('k', 4, { value, version: 5 });
      const other = { value: { body: Buffer.from('lost'), meta: '' } };
      expect((await s.commit(await s.hold('k', 5), 500, other)).outcome).toBe('refused');
      const bounced = await s.hold('k', 5);
      await s.release(bounced);
      await s.commit(bounced, 5, other);
      await s.commit(await s.hold('k', 5), 5, { ...other, version: 4 });
      expect(await s.value('k')).toEqual({ body: Buffer.from('kept'), meta: '' });
    });

    it('are gone with their entry: removed, expired, dropped, corrected away', async () => {
      const s = stage.scene();
      await store(s, 'removed', body(4));
      await store(s, 'expired', body(4), '', 20);
      await store(s, 'dropped', body(4));
      await store(s, 'corrected', body(4));
      await s.remove('removed');
      await s.tracker.correct(s.tenant, [{ key: 'corrected', seen: { bytes: 4, version: 0 } }]);
      await untilDue(20);
      expect(await s.value('removed')).toBeNull();
      expect(await s.value('expired')).toBeNull();
      expect(await s.value('corrected')).toBeNull();
      expect(await s.value('dropped')).not.toBeNull();
      await s.tracker.drop(s.tenant);
      expect(await s.value('dropped')).toBeNull();
    });

    it('are numbered in the order of writing, over expiry, removal and lives, and unmetered ones too', async () => {
      const s = stage.scene({ quotaBytes: 10_000 });
      const written = async (key: string): Promise<number | undefined> =>
        (await s.entry(key))?.written;
      const order: (number | undefined)[] = [];
      const write = async (key: string, put = () => store(s, key, body(4))): Promise<void> => {
        await put();
        order.push(await written(key));
      };
      await write('a');
      await write('b', () => store(s, 'b', body(4), '', 60_000));
      await write('a');
      await s.remove('a');
      await write('a');
      await s.putUnmetered('u', body(4));
      order.push(await written('u'));
      await write('c');
      await s.tracker.recount(s.tenant);
      expect([await written('b'), await written('u')]).toEqual([order[1], order[4]]);
      const { entries } = await s.tracker.entries(s.tenant, null, 10);
      const listed = entries.map(({ key, entry }) => [key, entry?.written] as const);
      expect(new Map(listed)).toEqual(
        new Map([
          ['a', order[3]],
          ['b', order[1]],
          ['c', order[5]],
          ['u', order[4]],
        ]),
      );
      await s.tracker.drop(s.tenant);
      await write('a');
      expect(order).not.toContain(undefined);
      expect(order).toEqual([...new Set(order)].sort((one, other) => one! - other!));
      await s.put('a', 4);
      expect(await s.entry('a')).toEqual({ bytes: 4, version: 0 });
    });

    it('stay with their entry where a correction has seen another write', async () => {
      const s = stage.scene();
      await store(s, 'k', body(4));
      const seen = await s.entry('k');
      await store(s, 'k', body(4));
      await s.put('bare', 4);
      const correct = async (key: string, it: typeof seen): Promise<number> =>
        (await s.tracker.correct(s.tenant, [{ key, ...(it && { seen: it }) }])).applied;
      expect(await correct('k', seen)).toBe(0);
      expect(await correct('k', { bytes: 4, version: 0, written: 0 })).toBe(0);
      expect(await correct('bare', { bytes: 4, version: 0, written: 1 })).toBe(0);
      expect(await correct('bare', { bytes: 4, version: 0, written: 0 })).toBe(1);
      expect(await correct('k', await s.entry('k'))).toBe(1);
      expect(await s.value('k')).toBeNull();
    });

    it('do not come back when their commit is sent again after a removal', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 4);
      const value = { body: body(4), meta: '' };
      await s.commit(hold, 4, { value });
      await s.remove('k');
      await s.commit(hold, 4, { value });
      expect(await s.value('k')).toBeNull();
    });

    it('are binary safe: all byte values, zeros, and invalid UTF-8', async () => {
      const s = stage.scene({ quotaBytes: 10_000 });
      const every = Buffer.from(Array.from({ length: 512 }, (_, i) => i % 256));
      const zeros = Buffer.alloc(100);
      await store(s, 'every', every);
      await store(s, 'zeros', zeros);
      await store(s, 'broken', Buffer.from([0xff, 0xfe, 0xc3, 0x28]));
      expect((await s.value('every'))?.body).toEqual(every);
      expect((await s.value('zeros'))?.body).toEqual(zeros);
      expect((await s.value('broken'))?.body).toEqual(Buffer.from([0xff, 0xfe, 0xc3, 0x28]));
    });

    it('may be empty, which is not the same as absent', async () => {
      const s = stage.scene();
      await store(s, 'k', Buffer.alloc(0), '');
      expect(await s.value('k')).toEqual({ body: Buffer.alloc(0), meta: '' });
      expect(await s.value('absent')).toBeNull();
    });

    it('may be large', async () => {
      const s = stage.scene({ quotaBytes: 10_000_000 });
      const large = body(3_000_000);
      await store(s, 'k', large);
      expect((await s.value('k'))?.body.equals(large)).toBe(true);
    });

    it.each([
      ['empty', ''],
      ['a line', 'text/plain; charset="utf-8"'],
      ['other scripts and emoji', 'ü 漢字 العربية 👩‍👩‍👧 \u{10ffff}'],
      ['NUL, newline and quotes', 'a\u0000b\nc\r"d\'e\\ {} %'],
      ['1,024 bytes', 'é'.repeat(512)],
    ])('keep their meta to the letter: %s', async (_, meta) => {
      const s = stage.scene();
      await store(s, 'k', body(3), meta);
      expect((await s.value('k'))?.meta).toBe(meta);
    });

    it('do not change with the buffer they came from', async () => {
      const s = stage.scene();
      const content = Buffer.from('before');
      await store(s, 'k', content);
      content.fill('x');
      expect((await s.value('k'))?.body.toString()).toBe('before');
    });

    it('are charged what the commit says, whatever their length', async () => {
      const s = stage.scene();
      await s.put('k', 50, { value: { body: body(3), meta: '' } });
      expect(await all(s)).toEqual([50, 0, 0]);
    });

    it('asked for make no state for a tenant never seen', async () => {
      const s = stage.scene();
      expect(await s.value('k')).toBeNull();
      expect(await stage.harness().hasState(s.tenant)).toBe(false);
    });

    it('of a commit after the deadline are stored where it fits', async () => {
      const s = stage.scene();
      const late = await s.lapsed('k', 4);
      await s.commit(late, 4, { value: { body: Buffer.from('late'), meta: '' } });
      expect((await s.value('k'))?.body.toString()).toBe('late');
    });
  });
}

function describeUnmetered(stage: Stage): void {
  describe('values stored while the quota is off', () => {
    it('are not in used', async () => {
      const s = stage.scene();
      const reply = await s.putUnmetered('k', body(40), { meta: 'm', ttlMs: 60_000 });
      expect(reply).toEqual({
        outcome: 'stored',
        replaced: false,
        expiresAt: expect.any(Number),
        usage: { committedBytes: 0, reservedBytes: 0, unmeteredBytes: 40 },
      });
      expect(await s.value('k')).toMatchObject({ meta: 'm' });
      expect(await s.entry('k')).toMatchObject({ bytes: 40, version: 0 });
    });

    it('are never refused', async () => {
      const s = stage.scene();
      await s.put('a', 110);
      expect(await s.putUnmetered('k', body(500))).toMatchObject({ outcome: 'stored' });
      expect(await all(s)).toEqual([110, 0, 500]);
    });

    it('replace each other', async () => {
      const s = stage.scene();
      await s.putUnmetered('k', body(40));
      expect(await s.putUnmetered('k', body(15))).toMatchObject({
        replaced: true,
        usage: { unmeteredBytes: 15 },
      });
      expect(await all(s)).toEqual([0, 0, 15]);
    });

    it('give back what was charged for the key', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      expect(await s.putUnmetered('k', body(40))).toMatchObject({
        replaced: true,
        usage: { committedBytes: 0, reservedBytes: 0, unmeteredBytes: 40 },
      });
    });

    it('are metered all at once by the first metered reserve', async () => {
      const s = stage.scene();
      for (let i = 0; i < 5; i++) await s.putUnmetered(`u${String(i)}`, body(10));
      expect(await s.reserve('k', 20)).toMatchObject({
        usedAfterBytes: 70,
        usage: { committedBytes: 50, reservedBytes: 20, unmeteredBytes: 0 },
      });
      expect(await all(s)).toEqual([50, 20, 0]);
    });

    it('are charged the difference when overwritten after that', async () => {
      const s = stage.scene();
      await s.putUnmetered('k', body(40));
      const hold = await s.hold('k', 60);
      expect(hold.reply).toMatchObject({
        usedAfterBytes: 60,
        usage: { committedBytes: 40, reservedBytes: 20 },
      });
      await s.commit(hold);
      expect(await all(s)).toEqual([60, 0, 0]);
    });

    it('count against the limit of that reserve', async () => {
      const s = stage.scene();
      await s.putUnmetered('u', body(80));
      expect(await s.reserve('k', 31)).toMatchObject({ outcome: 'rejected', usedAfterBytes: 111 });
      expect(await s.reserve('k', 30)).toMatchObject({ decision: 'WARN', usedAfterBytes: 110 });
    });

    it('are judged by check like by reserve, and stay unmetered', async () => {
      const s = stage.scene();
      await s.putUnmetered('u', body(80));
      expect(await s.check('k', 31)).toMatchObject({ outcome: 'rejected', usedAfterBytes: 111 });
      expect(await s.check('u', 100)).toMatchObject({ decision: 'ALLOW', usedAfterBytes: 100 });
      expect(await all(s)).toEqual([0, 0, 80]);
    });

    it('give nothing back to used when removed, and say their size', async () => {
      const s = stage.scene();
      await s.put('a', 10);
      await s.putUnmetered('k', body(40));
      expect(await s.remove('k')).toEqual({
        removed: true,
        freedBytes: 40,
        usage: { committedBytes: 10, reservedBytes: 0, unmeteredBytes: 0 },
      });
    });

    it('give back like any other once they are metered', async () => {
      const s = stage.scene();
      await s.putUnmetered('u', body(40));
      await s.put('k', 10);
      expect(await s.remove('u')).toMatchObject({ freedBytes: 40, usage: { committedBytes: 10 } });
    });

    it('expire', async () => {
      const s = stage.scene();
      await s.putUnmetered('k', body(40), { ttlMs: 20 });
      await untilDue(20);
      expect(await all(s)).toEqual([0, 0, 0]);
      expect(await s.value('k')).toBeNull();
    });

    it('expire after they were metered', async () => {
      const s = stage.scene();
      await s.putUnmetered('u', body(40), { ttlMs: 50 });
      await s.put('k', 10);
      await untilDue(50);
      expect(await all(s)).toEqual([10, 0, 0]);
    });

    it('are metered by a recount, which takes none of it for drift', async () => {
      const s = stage.scene();
      await s.put('a', 10);
      await s.putUnmetered('k', body(40));
      expect(await s.tracker.recount(s.tenant)).toEqual({
        driftBytes: 0,
        usage: { committedBytes: 50, reservedBytes: 0, unmeteredBytes: 0 },
      });
      expect(await s.remove('k')).toMatchObject({ usage: { committedBytes: 10 } });
    });

    it('may come again after a fold, and are folded again', async () => {
      const s = stage.scene({ quotaBytes: 1_000 });
      await s.putUnmetered('u', body(40));
      await s.put('k', 10);
      await s.putUnmetered('u2', body(30));
      expect(await all(s)).toEqual([50, 0, 30]);
      await s.put('k', 11);
      expect(await all(s)).toEqual([81, 0, 0]);
      await s.putUnmetered('u', body(5));
      expect(await all(s)).toEqual([41, 0, 5]);
    });

    it('are stored once for each id', async () => {
      const s = stage.scene();
      const id = randomUUID();
      await s.put('k', 60);
      const first = await s.putUnmetered('k', Buffer.from('first'), { id });
      await s.putUnmetered('k', Buffer.from('second'));
      const again = await s.putUnmetered('k', Buffer.from('first'), { id });
      expect(first).toMatchObject({ outcome: 'stored', replaced: true });
      expect(again).toMatchObject({ outcome: 'stored', replaced: true });
      expect((await s.value('k'))?.body.toString()).toBe('second');
      expect(await all(s)).toEqual([0, 0, 6]);
    });

    it('are stale under an old configuration, with nothing stored', async () => {
      const s = stage.scene();
      await s.put('a', 1, { stamp: 5 });
      expect(await s.putUnmetered('k', body(4), { stamp: 4 })).toEqual({
        outcome: 'stale',
        stamp: 5,
      });
      expect(await s.value('k')).toBeNull();
    });

    it('tell the ledger of a newer configuration', async () => {
      const s = stage.scene();
      await s.putUnmetered('k', body(4), { stamp: 8 });
      expect(await s.reserve('a', 1, { stamp: 7 })).toEqual({ outcome: 'stale', stamp: 8 });
    });

    it('are gone with a drop', async () => {
      const s = stage.scene();
      await s.putUnmetered('k', body(40));
      await s.tracker.drop(s.tenant);
      expect(await all(s)).toEqual([0, 0, 0]);
    });

    it('leave an open write of the key its hold', async () => {
      const s = stage.scene();
      await s.put('k', 60);
      const hold = await s.hold('k', 80);
      await s.putUnmetered('k', body(40));
      expect(await all(s)).toEqual([0, 80, 40]);
      await s.commit(hold);
      expect(await all(s)).toEqual([80, 0, 0]);
    });

    it('are not charged twice by a fold while an open write of the key holds their room', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 60);
      await s.putUnmetered('k', body(40));
      expect(await all(s)).toEqual([0, 60, 40]);
      const other = await s.hold('other', 10);
      expect(other.reply.usedAfterBytes).toBe(70);
      expect(await all(s)).toEqual([40, 30, 0]);
      await s.release(hold);
      await s.release(other);
      expect(await all(s)).toEqual([40, 0, 0]);
    });

    it('larger than the open write of their key leave it nothing to hold after a fold', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 30);
      await s.putUnmetered('k', body(70));
      await s.release(await s.hold('other', 10));
      expect(await all(s)).toEqual([70, 0, 0]);
      await s.commit(hold);
      expect(await all(s)).toEqual([30, 0, 0]);
    });

    it('are replaced by a commit that was reserved while metered', async () => {
      const s = stage.scene();
      const hold = await s.hold('k', 30);
      await s.putUnmetered('k', body(40));
      await s.putUnmetered('other', body(9));
      expect(await s.commit(hold)).toMatchObject({ outcome: 'committed', replaced: true });
      expect(await all(s)).toEqual([30, 0, 9]);
    });

    it('are counted right by a recount beneath open writes', async () => {
      const s = stage.scene();
      await s.hold('k', 60);
      await s.putUnmetered('k', body(40));
      await s.putUnmetered('big', body(30));
      await s.hold(undefined, 5);
      await s.putUnmetered('k', body(50));
      expect(await s.tracker.recount(s.tenant)).toEqual({
        driftBytes: 0,
        usage: { committedBytes: 80, reservedBytes: 15, unmeteredBytes: 0 },
      });
    });
  });
}
