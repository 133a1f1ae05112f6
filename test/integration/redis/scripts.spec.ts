import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ReplyCode } from '../../../libs/quota/src/adapters/redis/replies';
import {
  loadScripts,
  SCRIPT_NAMES,
  type ScriptName,
} from '../../../libs/quota/src/adapters/redis/script-source';
import { MAX_BYTES } from '../../../libs/quota/src/core';
import { expectExact } from './auditor';
import { dumpAll, roundTrips, startLedger, stopLedgers, type Ledger } from './ledger';

const FOLDER = join(__dirname, '../../../libs/quota/src/adapters/redis/scripts');
const HOSTILE = [
  ...['-50', '-0', '+5', 'NaN', 'nan', 'inf', 'Infinity', '1e3', '0x10', '1.5', 'true', '[]'],
  ...['', ' 5', '5 ', '5\n', '5\0', '\0', '٥', '９', '9007199254740992', '9007199254740993'],
  ...['99999999999999999999', '1'.repeat(400)],
];

/** Valid arguments of each script, and which of them are numbers that must not be empty. */
const VALID: Partial<
  Record<ScriptName, { args: string[]; numbers: number[]; optional: number[] }>
> = {
  reserve: {
    args: ['i', '1', 'k', '5', '9', '9', '0', '1', '99', '0', '0'],
    numbers: [3, 4, 5, 6, 8, 9, 10],
    optional: [],
  },
  check: { args: ['-', '1', 'k', '5', '9', '9', '0', '1'], numbers: [3, 4, 5, 6], optional: [] },
  commit: {
    args: ['i', '1', 'k', '5', '9', '1', 'g', '9', '9', '1', '', 'v', '0'],
    numbers: [3, 4, 12],
    optional: [7, 8],
  },
  remove: { args: ['i', '1', 'k', ''], numbers: [], optional: [3] },
  refund: { args: ['i', '5'], numbers: [1], optional: [] },
  sweep: { args: ['5'], numbers: [0], optional: [] },
  lapsed: { args: ['0', '5'], numbers: [0, 1], optional: [] },
  'recount-page': { args: ['0', '5'], numbers: [0, 1], optional: [] },
  entries: { args: ['0', '5'], numbers: [1], optional: [] },
  correct: { args: ['n', 'k', '5', '', '', '', ''], numbers: [], optional: [2, 3, 4, 5, 6] },
  'rebuild-begin': { args: ['g', 'n', '5', 'l'], numbers: [2], optional: [] },
  'grant-take': { args: ['g', '5', '9', ''], numbers: [1, 2], optional: [] },
  fold: { args: ['g', '1', '5', '5', '5'], numbers: [1, 2, 3, 4], optional: [] },
  'value-put-unmetered': { args: ['i', '1', 'k', '0', '', '', 'v'], numbers: [3], optional: [4] },
};

describe('the scripts', () => {
  let ledger: Ledger;
  beforeAll(async () => {
    ledger = await startLedger();
  });
  afterAll(stopLedgers);

  const run = (name: ScriptName, tenant: string, args: (string | Buffer)[]): Promise<unknown> => {
    const { source } = loadScripts()[name];
    const keys = ledger.keys.ledger(tenant);
    return ledger.probe.eval(source, keys.length, ...keys, ...args);
  };

  describe.each(Object.entries(VALID))('%s', (name, { args, numbers, optional }) => {
    it('refuses hostile numbers in every place, with nothing changed', async () => {
      const s = ledger.scene();
      await s.put('k', 100);
      await s.hold('k', 50);
      const before = await dumpAll(ledger.probe);
      for (const place of [...numbers, ...optional]) {
        for (const hostile of HOSTILE) {
          if (hostile === '' && optional.includes(place)) continue;
          const attacked = args.with(place, hostile);
          const outcome = await run(name as ScriptName, s.tenant, attacked).then(
            () => 'accepted',
            (error: unknown) => String(error).replace('ReplyError: ', ''),
          );
          expect([place, hostile, outcome]).toEqual([
            place,
            hostile,
            expect.stringMatching(/^QUOTAARG \w+/),
          ]);
        }
      }
      expect(await dumpAll(ledger.probe)).toEqual(before);
    });

    it('refuses missing arguments, with nothing changed', async () => {
      const s = ledger.scene();
      const before = await dumpAll(ledger.probe);
      for (let count = 0; count < Math.max(...numbers, ...optional); count++) {
        await expect(run(name as ScriptName, s.tenant, args.slice(0, count))).rejects.toThrow(
          'QUOTAARG',
        );
      }
      expect(await dumpAll(ledger.probe)).toEqual(before);
    });
  });

  it('have the codes that the TypeScript side knows', () => {
    const state = readFileSync(join(FOLDER, 'include/state.lua'), 'utf8');
    const table = /local CODE = \{([^}]*)\}/.exec(state)?.[1] ?? '';
    const codes = [...table.matchAll(/(\w+) = (\d+)/g)].map(([, name, code]) => [
      name,
      Number(code),
    ]);
    const known = Object.entries(ReplyCode).filter(([, code]) => typeof code === 'number');
    expect(Object.fromEntries(codes)).toEqual(Object.fromEntries(known));
  });

  it('are all loaded, and say what they may do', () => {
    const files = readdirSync(FOLDER).filter((file) => file.endsWith('.lua'));
    expect(files.map((file) => file.replace('.lua', '')).toSorted()).toEqual(
      [...SCRIPT_NAMES].toSorted(),
    );
    const shebang = (name: ScriptName) => loadScripts()[name].source.split('\n', 1)[0];
    for (const name of SCRIPT_NAMES) expect(shebang(name)).toMatch(/^#!lua( flags=[a-z,-]+)?$/);
    expect(shebang('reserve')).toBe('#!lua');
    expect(shebang('value-put-unmetered')).toBe('#!lua');
    for (const name of [
      'commit',
      'release',
      'remove',
      'refund',
      'read',
      'sweep',
      'drop',
      'rebuild-begin',
      'grant-take',
      'fold',
    ] as const) {
      expect(shebang(name)).toBe('#!lua flags=allow-oom');
    }
  });

  it('take one round trip each', async () => {
    const s = ledger.scene();
    for (const name of SCRIPT_NAMES) await ledger.probe.script('LOAD', loadScripts()[name].source);
    const count = (work: () => Promise<unknown>) => roundTrips(ledger.probe, work);
    const hold = await s.hold('k', 10);
    expect(await count(() => s.reserve('a', 10))).toBe(1);
    expect(await count(() => s.reserve('a', 10_000))).toBe(1);
    expect(await count(() => s.check('a', 10))).toBe(1);
    expect(await count(() => s.commit(hold))).toBe(1);
    expect(await count(() => s.release({ id: randomUUID() }))).toBe(1);
    expect(await count(() => s.remove('k'))).toBe(1);
    expect(await count(() => s.refund(0))).toBe(1);
    expect(await count(() => s.used())).toBe(1);
    expect(await count(() => s.tracker.sweep(s.tenant, 100))).toBe(1);
    expect(await count(() => s.entry('k'))).toBe(1);
    expect(await count(() => s.value('k'))).toBe(1);
    expect(await count(() => s.putUnmetered('k', Buffer.from('x')))).toBe(1);
    const { tenant } = s;
    const { tracker } = ledger;
    const grant = { generation: 'b', seq: 1, bytes: 0 };
    const batch = { number: 1, generation: 'b', items: [{ key: 'k', version: 0 }] };
    const sums = { unkeyedBytes: 0, refundBytes: 0, bytes: 0 };
    expect(await count(() => tracker.ledgerStanding(tenant))).toBe(1);
    expect(await count(() => tracker.beginRebuild(tenant, 'b', 'n', 0))).toBe(1);
    expect(await count(() => tracker.takeGrant(tenant, grant, 'n'))).toBe(1);
    expect(await count(() => tracker.fold(tenant, { ...batch, ...sums }))).toBe(1);
    expect(await count(() => tracker.drop(tenant))).toBe(1);
  });

  it('leave no key of a tenant that nothing was admitted for', async () => {
    const s = ledger.scene({ quotaBytes: 10, hardBytes: 10 });
    const before = await ledger.probe.dbsize();
    await s.check('k', 5);
    await s.reserve('k', 11);
    await s.reserve('k', 11, { stamp: 9 });
    await s.used();
    await s.release({ id: randomUUID() });
    await s.remove('k');
    await s.refund(5);
    await s.value('k');
    await s.entry('k');
    await s.tracker.entries(s.tenant, null, 10);
    await s.tracker.sweep(s.tenant, 10);
    await s.tracker.recount(s.tenant);
    await s.tracker.correct(s.tenant, [{ key: 'k' }]);
    await s.tracker.drop(s.tenant);
    expect(await ledger.probe.dbsize()).toBe(before);
  });

  it('keep exact numbers where Lua would write them as 1e+15', async () => {
    const s = ledger.scene({ quotaBytes: MAX_BYTES, hardBytes: MAX_BYTES });
    const parts = [1_000_000_000_000_001, 3_333_333_333_333_333, 4_666_666_666_666_655];
    for (const [i, bytes] of parts.entries()) await s.put(`k${String(i)}`, bytes);
    await s.put('last', 7, { version: MAX_BYTES });
    expect(await s.used()).toEqual([parts.reduce((a, b) => a + b, 7), 0]);
    const state = await ledger.probe.hgetall(ledger.keys.state(s.tenant));
    expect(state['c']).toBe('8999999999999996');
    expect(await s.entry('last')).toEqual({ bytes: 7, version: MAX_BYTES });
    await expectExact(ledger.probe, s.tenant);
  });

  it('take keys of any bytes, NUL and patterns included', async () => {
    const s = ledger.scene();
    const names = [
      '\0',
      'a\0b',
      'a\0c',
      '%d+',
      '^(%w)$',
      ' ',
      '1 2 3',
      '\n',
      'é',
      '😀',
      '-',
      '__proto__',
    ];
    for (const [i, name] of names.entries()) await s.put(name, i + 1, { ttlMs: 60_000 });
    for (const [i, name] of names.entries()) {
      expect(await s.entry(name)).toMatchObject({ bytes: i + 1 });
      const again = await s.hold(name, 20);
      await s.commit(again);
      expect(await s.entry(name)).toMatchObject({ bytes: 20 });
    }
    const { entries } = await s.tracker.entries(s.tenant, null, 100);
    expect(entries.map(({ key }) => key).toSorted()).toEqual(names.toSorted());
    for (const name of names) expect(await s.remove(name)).toMatchObject({ freedBytes: 20 });
    expect(await s.used()).toEqual([0, 0]);
  });
});
