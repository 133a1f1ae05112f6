import { randomBytes } from 'node:crypto';
import { expectExact } from './auditor';
import { waitUntil } from '../../support';
import { startLedger, stopLedgers, type Ledger } from './ledger';

const MB = 1_048_576;
const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

describe('values beside the ledger', () => {
  let ledger: Ledger;
  beforeAll(async () => {
    ledger = await startLedger({ tracker: { deadlineMs: 5_000 } });
  });
  afterAll(stopLedgers);

  const big = { quotaBytes: 100 * MB, hardBytes: 100 * MB };

  it('come back with all 256 bytes, meta too', async () => {
    const s = ledger.scene();
    const value = { body: ALL_BYTES, meta: '{"type":"a b","nul":"\0","text":"é😀"}' };
    await s.put('k', 256, { value });
    expect(await s.value('k')).toEqual(value);
    await s.putUnmetered('u', ALL_BYTES, { meta: value.meta });
    expect(await s.value('u')).toEqual(value);
    await expectExact(ledger.probe, s.tenant);
  });

  it('of before their order was kept are read, count as oldest, and get a place when written anew', async () => {
    const s = ledger.scene(big);
    const value = { body: Buffer.from('abc'), meta: 'a 1.5 b' };
    for (const key of ['old', 'new']) await s.put(key, 3, { value, ttlMs: 60_000 });
    const [, entries = ''] = ledger.keys.ledger(s.tenant);
    const text = String(await ledger.probe.hget(entries, 'old'));
    const before = text.replace(/^(\d+ \d+ - 0 0)\.\d+ /, '$1 ');
    expect(before.length).toBe(text.length - 14);
    await ledger.probe.hset(entries, 'old', before);
    expect(await s.value('old')).toMatchObject(value);
    const old = await s.entry('old');
    expect([old?.bytes, old?.written]).toEqual([3, undefined]);
    const seen = { bytes: 3, version: 0, written: 0 };
    expect((await s.tracker.correct(s.tenant, [{ key: 'new', seen }])).applied).toBe(0);
    await s.tracker.recount(s.tenant);
    await s.put('old', 3, { value });
    expect((await s.entry('old'))?.written).toBeGreaterThan((await s.entry('new'))!.written!);
    expect((await s.tracker.correct(s.tenant, [{ key: 'old', seen }])).applied).toBe(0);
    await expectExact(ledger.probe, s.tenant);
  });

  it('may be empty, or look like nothing', async () => {
    const s = ledger.scene();
    for (const text of ['', '0', 'nil', 'false', '\0']) {
      const value = { body: Buffer.from(text), meta: '' };
      await s.put('k', value.body.length, { value });
      expect(await s.value('k')).toEqual(value);
    }
  });

  it('of 10 MB are stored, read and removed whole', async () => {
    const s = ledger.scene(big);
    const body = randomBytes(10 * MB);
    await s.put('k', body.length, { value: { body, meta: 'm' }, ttlMs: 60_000 });
    const found = await s.value('k');
    expect(found?.body.equals(body)).toBe(true);
    expect(found?.expiresAt).toBeGreaterThan(Date.now());
    expect(await expectExact(ledger.probe, s.tenant)).toMatchObject({ committed: 10 * MB });
    expect(await s.remove('k')).toMatchObject({ freedBytes: 10 * MB });
    expect(await s.value('k')).toBeNull();
    expect(await ledger.probe.exists(...ledger.keys.ledger(s.tenant).slice(-1))).toBe(0);
  });

  it('that are large do not stand before a decision, and wait their turn when there are many', async () => {
    const own = await startLedger({ tracker: { deadlineMs: 5_000 } });
    const s = own.scene({ quotaBytes: 200 * MB, hardBytes: 200 * MB });
    const body = Buffer.alloc(20 * MB, 7);
    const write = async (i: number): Promise<void> => {
      await s.put(`big-${i}`, body.length, { value: { body, meta: '' } });
    };
    const state = { done: false };
    const writing = Promise.all([0, 1, 2, 3, 4, 5].map(write)).finally(() => (state.done = true));
    let decided = 0;
    while (!state.done) {
      await s.tracker.read(s.tenant);
      decided += 1;
    }
    await writing;
    // Standing in one line with them, no more than one would come after each.
    expect(decided).toBeGreaterThan(12);
    expect(await expectExact(own.probe, s.tenant)).toMatchObject({ committed: 120 * MB });
    const values = await Promise.all([0, 1, 2, 3, 4, 5].map((i) => s.value(`big-${i}`)));
    expect(values.every((value) => value?.body.equals(body))).toBe(true);
  });

  it('travel on a second connection only when they are large, which goes with the first', async () => {
    const own = await startLedger({ tracker: { deadlineMs: 5_000 } });
    const s = own.scene(big);
    const clients = async (): Promise<number> =>
      Number(/connected_clients:(\d+)/.exec(await own.probe.info('clients'))?.[1]);
    const before = await clients();
    await s.put('small', 65_536, { value: { body: Buffer.alloc(65_536), meta: '' } });
    await s.value('small');
    expect(await clients()).toBe(before);
    await s.put('large', 65_537, { value: { body: Buffer.alloc(65_537), meta: '' } });
    expect((await s.value('large'))?.body).toHaveLength(65_537);
    expect(await clients()).toBe(before + 1);
    own.client.disconnect();
    await waitUntil(async () => (await clients()) === before - 1);
  });

  it('that turn into a larger one between two looks are given as they are then', async () => {
    const own = await startLedger({ tracker: { deadlineMs: 5_000 } });
    const s = own.scene(big);
    await s.put('k', 3, { value: { body: Buffer.from('old'), meta: '' } });
    await s.put('k', 2 * MB, { value: { body: Buffer.alloc(2 * MB, 1), meta: 'new' } });
    expect(await s.value('k')).toMatchObject({ meta: 'new' });
  });

  it('go with their entry: overwritten, expired, dropped, or left out', async () => {
    const s = ledger.scene();
    const value = { body: Buffer.from('12345'), meta: '' };
    await s.put('overwritten', 5, { value });
    await s.put('overwritten', 5);
    expect(await s.value('overwritten')).toBeNull();
    await s.put('expired', 5, { value, ttlMs: 20 });
    await s.untilGone('expired');
    expect(await s.value('expired')).toBeNull();
    await s.put('corrected', 5, { value });
    const seen = { bytes: 5, version: 0 };
    await s.tracker.correct(s.tenant, [{ key: 'corrected', bytes: 7, seen }]);
    expect(await s.value('corrected')).toBeNull();
    await expectExact(ledger.probe, s.tenant);
    await s.put('kept', 5, { value });
    await s.tracker.recount(s.tenant);
    expect(await s.value('kept')).toEqual(value);
    await s.tracker.drop(s.tenant);
    expect(await s.value('kept')).toBeNull();
    expect(await ledger.probe.keys(`quota:{${s.tenant}}:*`)).toEqual([`quota:{${s.tenant}}:s`]);
  });

  it('of an overwrite that was released or refused stay the old ones', async () => {
    const s = ledger.scene({ quotaBytes: 10, hardBytes: 10 });
    const value = { body: Buffer.from('12345'), meta: 'old' };
    await s.put('k', 5, { value });
    await s.release(await s.hold('k', 8));
    const hold = await s.hold('k', 8);
    const body = Buffer.alloc(11);
    expect(await s.commit(hold, 11, { value: { body, meta: 'new' } })).toMatchObject({
      outcome: 'refused',
    });
    expect(await s.value('k')).toEqual(value);
  });

  it('are refused without a key, or with a meta beyond 1,024 bytes', async () => {
    const s = ledger.scene();
    const value = { body: Buffer.from('1'), meta: 'é'.repeat(513) };
    const hold = await s.hold('k', 1);
    await expect(s.commit(hold, 1, { value })).rejects.toThrow('1024');
    const unkeyed = await s.hold(undefined, 1);
    await expect(s.commit(unkeyed, 1, { value: { ...value, meta: '' } })).rejects.toThrow();
    expect(await s.used()).toEqual([0, 2]);
  });
});
