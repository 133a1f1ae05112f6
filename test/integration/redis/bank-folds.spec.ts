import { RedisUsageTracker } from '../../../libs/quota/src/adapters/redis';
import { ReplyCode } from '../../../libs/quota/src/adapters/redis/replies';
import { loadScripts, type ScriptName } from '../../../libs/quota/src/adapters/redis/script-source';
import { InvalidWriteError, MAX_BYTES, type FoldItem } from '../../../libs/quota/src/core';
import { untilDue } from '../../contract/usage-tracker/scene';
import { expectExact } from './auditor';
import { bankedScene, LIFE, short, type BankedScene } from './banked';
import { dumpAll, ready, startLedger, stopLedgers, type Ledger } from './ledger';

let ledger: Ledger;
beforeAll(async () => {
  ledger = await startLedger({ tracker: { bank: true, deadlineMs: 5_000 } });
});
afterAll(stopLedgers);
afterEach(() => {
  expect(ledger.defects).toBe(0);
});

const scene = (bytes: number): Promise<BankedScene> => bankedScene(ledger).granted(bytes);
const put = (key: string, bytes: number, version = 0): FoldItem => ({ key, bytes, version });

describe('a batch of the bank', () => {
  it('is folded in once, with the part of the limit it was admitted from', async () => {
    const s = await scene(100);
    await s.put('a', 100);
    const batch = { items: [put('b', 30), put('c', 20)], unkeyedBytes: 10, bytes: 60 };
    expect(await s.fold(4, batch)).toBe('done');
    expect(await s.used()).toEqual([160, 0]);
    const before = await dumpAll(ledger.probe);
    expect(await s.fold(4, batch)).toBe('done');
    expect(await s.fold(3, { items: [put('z', 9)], bytes: 9 })).toBe('done');
    expect(await s.fold(5, { generation: 'other', bytes: 9 })).toBe('other-life');
    expect(await dumpAll(ledger.probe)).toEqual(before);
    expect(await s.standing()).toMatchObject({
      generation: LIFE,
      seq: 1,
      grantBytes: 160,
      fold: 4,
    });
    await short(s.reserve('d', 1));
    await expectExact(ledger.probe, s.tenant);
  });

  it('is folded in once by two who send it at once', async () => {
    const client = ledger.server.client();
    await ready(client);
    const s = await scene(0);
    const other = s.on(new RedisUsageTracker(client, { bank: true, deadlineMs: 5_000 }));
    for (let number = 1; number <= 50; number++) {
      const batch = { unkeyedBytes: 7, items: [put(`k${String(number)}`, 3)], bytes: 10 };
      const each = [s, other, s, other].map((sender) => sender.fold(number, batch));
      expect(await Promise.all(each)).toEqual(['done', 'done', 'done', 'done']);
    }
    expect(await s.standing()).toMatchObject({ grantBytes: 500, fold: 50 });
    expect(await s.used()).toEqual([500, 0]);
    await expectExact(ledger.probe, s.tenant);
  });

  it('is not taken by a ledger that lost its data, but once it was rebuilt', async () => {
    const s = await scene(100);
    const batch = { items: [put('a', 30)], bytes: 30 };
    expect(await s.fold(1, batch)).toBe('done');
    await ledger.probe.flushall();
    expect(await s.fold(1, batch)).toBe('lost');
    expect(await ledger.probe.dbsize()).toBe(0);
    expect(await s.begin('n')).toBe('begun');
    expect(await s.fold(1, batch)).toBe('lost');
    await s.tracker.correct(s.tenant, [{ key: 'a', bytes: 30 }]);
    expect(await s.take(2, 100, 'n')).toBe('taken');
    // The bank had not heard that it was taken: for the new grant it was not.
    expect(await s.fold(1, batch)).toBe('done');
    expect(await s.standing()).toMatchObject({ grantBytes: 130, fold: 1 });
    expect(await s.used()).toEqual([30, 0]);
  });

  it('leaves what has a higher version, and replaces the rest', async () => {
    const s = await scene(1_000);
    await s.put('newer', 10, { version: 5 });
    await s.put('same', 10, { version: 5 });
    await s.put('older', 10, { version: 5 });
    await s.put('plain', 10);
    await s.put('kept', 10, { version: 5 });
    await s.put('gone', 10, { version: 5 });
    const items = [
      ...[put('newer', 20, 4), put('same', 21, 5), put('older', 22, 6)],
      ...[put('plain', 23), put('fresh', 24, 9)],
      ...[
        { key: 'kept', version: 4 },
        { key: 'gone', version: 5 },
        { key: 'never', version: 1 },
      ],
    ];
    expect(await s.fold(1, { items })).toBe('done');
    const { entries } = await s.tracker.entries(s.tenant, null, 100);
    const seen = entries.map(({ key, entry }) => [key, entry?.bytes, entry?.version]);
    expect(seen.toSorted()).toEqual([
      ...[
        ['fresh', 24, 9],
        ['kept', 10, 5],
        ['newer', 10, 5],
      ],
      ...[
        ['older', 22, 6],
        ['plain', 23, 0],
        ['same', 21, 5],
      ],
    ]);
    expect(await s.used()).toEqual([110, 0]);
    await expectExact(ledger.probe, s.tenant);
  });

  it('takes one key after the other, also the same one twice', async () => {
    const s = await scene(1_000);
    const items = [put('a', 5, 1), { key: 'a', version: 2 }, put('a', 7, 3), put('a', 9, 2)];
    await s.fold(1, { items });
    expect(await s.entry('a')).toEqual({ bytes: 7, version: 3 });
    await s.fold(2, { items: [{ key: 'a', version: 3 }] });
    expect(await s.used()).toEqual([0, 0]);
    await expectExact(ledger.probe, s.tenant);
  });

  it('carries what is left of a life, and removes what has expired meanwhile', async () => {
    const s = await scene(1_000);
    await s.put('a', 10, { ttlMs: 60_000 });
    await s.put('b', 10, { ttlMs: 60_000 });
    await s.put('c', 10);
    await s.put('d', 10, { ttlMs: 60_000 });
    const items = [
      { ...put('a', 20), ttlMs: 0 },
      put('b', 21),
      { ...put('c', 22), ttlMs: 40 },
      { ...put('d', 23), ttlMs: 90_000 },
      { ...put('never', 24), ttlMs: 0 },
    ];
    await s.fold(1, { items });
    await expectExact(ledger.probe, s.tenant);
    await untilDue(40);
    expect(await s.used()).toEqual([44, 0]);
    expect(await s.entry('a')).toBeNull();
    expect(await s.entry('b')).toEqual({ bytes: 21, version: 0 });
    expect((await s.entry('d'))?.expiresAt).toBeGreaterThan(Date.now() + 60_000);
    await expectExact(ledger.probe, s.tenant);
  });

  it('drops the value that its write has replaced', async () => {
    const s = await scene(1_000);
    const value = { body: Buffer.alloc(10, 1), meta: '' };
    for (const key of ['a', 'b', 'c']) await s.put(key, 10, { value, version: 2 });
    await s.fold(1, { items: [put('a', 10, 3), { key: 'b', version: 3 }, put('c', 10, 1)] });
    expect([await s.value('a'), await s.value('b')]).toEqual([null, null]);
    expect(await s.value('c')).toEqual(value);
    await expectExact(ledger.probe, s.tenant);
  });

  it('leaves writes of its keys that are on their way as they are', async () => {
    const s = await scene(1_000);
    await s.put('grown', 50);
    await s.put('removed', 50);
    const grown = await s.hold('grown', 80);
    const removed = await s.hold('removed', 70);
    const created = await s.hold('created', 60);
    const older = await s.hold('older', 10);
    expect(await s.used()).toEqual([100, 120]);
    const items = [
      ...[put('grown', 75), { key: 'removed', version: 0 }, put('created', 200)],
      put('older', 20, 7),
    ];
    expect(await s.fold(1, { items, bytes: 295 })).toBe('done');
    expect(await s.used()).toEqual([295, 5 + 70]);
    await expectExact(ledger.probe, s.tenant);
    // The writer of version 6 is late; that of the others came last.
    expect(await s.commit(older, 10, { version: 6 })).toMatchObject({ outcome: 'committed' });
    expect(await s.entry('older')).toEqual({ bytes: 20, version: 7 });
    for (const hold of [grown, removed, created]) await s.commit(hold);
    expect(await s.used()).toEqual([80 + 70 + 60 + 20, 0]);
    await expectExact(ledger.probe, s.tenant);
  });

  it('does not bring back what a removal, seen while a write was on its way, has removed', async () => {
    const s = await scene(1_000);
    const hold = await s.hold('k', 10);
    await s.remove('k', { version: 5 });
    await s.fold(1, { items: [put('k', 20, 4)] });
    expect(await s.entry('k')).toBeNull();
    await s.fold(2, { items: [put('k', 30, 5)] });
    expect(await s.entry('k')).toEqual({ bytes: 30, version: 5 });
    await s.fold(3, { items: [{ key: 'k', version: 8 }] });
    await s.commit(hold, 10, { version: 7 });
    expect(await s.used()).toEqual([0, 0]);
    await expectExact(ledger.probe, s.tenant);
  });

  it('charges without a key, and gives back no more than the ledger had charged', async () => {
    const s = await scene(100);
    await s.put(undefined, 40);
    await s.fold(1, { unkeyedBytes: 25, refundBytes: 30, bytes: 25 });
    expect(await s.used()).toEqual([35, 0]);
    await s.fold(2, { unkeyedBytes: 7, refundBytes: 100, bytes: 7 });
    expect(await s.used()).toEqual([7, 0]);
    expect(await s.refund(10)).toMatchObject({ freedBytes: 7, underflowBytes: 3 });
    expect(await s.standing()).toMatchObject({ grantBytes: 132 });
  });

  it('is never refused by a limit or a full Redis, only by what cannot be counted', async () => {
    const s = await scene(10);
    await ledger.probe.config('SET', 'maxmemory', '1');
    const items = Array.from({ length: 1_000 }, (_, i) => put(`k${String(i)}`, 1_000));
    await s
      .fold(1, { items, bytes: 0 })
      .finally(() => ledger.probe.config('SET', 'maxmemory', '0'));
    expect(await s.used()).toEqual([1_000_000, 0]);
    const before = await dumpAll(ledger.probe);
    const large = { items: [put('a', 1), put('b', MAX_BYTES)] };
    await expect(s.fold(2, large)).rejects.toThrow(InvalidWriteError);
    await expect(s.fold(2, { unkeyedBytes: MAX_BYTES })).rejects.toThrow(InvalidWriteError);
    await expect(s.fold(2, { bytes: MAX_BYTES })).rejects.toThrow(InvalidWriteError);
    await expect(s.fold(2, { items: [...items, put('x', 1)] })).rejects.toThrow(InvalidWriteError);
    await expect(s.fold(0, {})).rejects.toThrow(InvalidWriteError);
    await expect(s.take(0, 5)).rejects.toThrow(InvalidWriteError);
    expect(await dumpAll(ledger.probe)).toEqual(before);
    await expectExact(ledger.probe, s.tenant);
  });
});

describe('the scripts of the bank, given what they do not take', () => {
  const run = (name: ScriptName, tenant: string, args: string[]): Promise<unknown> => {
    const keys = ledger.keys.ledger(tenant);
    return ledger.probe.eval(loadScripts()[name].source, keys.length, ...keys, ...args);
  };
  const numbers = ['-1', '+1', 'nan', 'inf', '1e3', '0x10', '1.5', ' 5', '5\0', '9007199254740992'];
  const texts = ['', 'x'.repeat(600)];
  const item = ['k', '5', '9', '1'];
  const valid: [ScriptName, string[], Record<number, string[]>][] = [
    ['rebuild-begin', [LIFE, 'n', '1', 'l'], { 0: texts, 1: texts, 2: [...numbers, ''], 3: texts }],
    [
      'grant-take',
      [LIFE, '2', '9', ''],
      { 0: texts, 1: [...numbers, '', '0'], 2: [...numbers, ''], 3: ['x'.repeat(600)] },
    ],
    [
      'fold',
      [LIFE, '9', '1', '1', '1', ...item, ...item],
      {
        ...{ 0: texts, 1: [...numbers, '', '0'], 2: [...numbers, ''], 3: numbers, 4: numbers },
        ...{ 9: texts, 10: numbers, 11: [...numbers, '9007199254740991'], 12: [...numbers, ''] },
      },
    ],
  ];

  it.each(valid)('%s changes nothing', async (name, args, hostile) => {
    const s = await scene(1_000);
    await s.put('k', 100);
    await s.hold('k', 150);
    const before = await dumpAll(ledger.probe);
    const outcomes: unknown[] = [];
    const attack = async (attacked: string[]): Promise<void> => {
      const told = await run(name, s.tenant, attacked).catch((error: unknown) => String(error));
      if (!/QUOTAARG \w+/.test(String(told))) outcomes.push([attacked, told]);
    };
    for (const [place, list] of Object.entries(hostile)) {
      for (const bad of list) await attack(args.with(Number(place), bad));
    }
    // Nine arguments are a batch of one item.
    for (let count = 0; count < args.length; count++) {
      if (name !== 'fold' || (count !== 5 && count !== 9)) await attack(args.slice(0, count));
    }
    if (name === 'fold')
      await attack([...args.slice(0, 5), ...Array.from({ length: 1_001 }, () => item).flat()]);
    expect(outcomes).toEqual([]);
    expect(await dumpAll(ledger.probe)).toEqual(before);
    expect(await run(name, s.tenant, args)).toEqual(expect.arrayContaining([ReplyCode.DONE]));
  });
});
