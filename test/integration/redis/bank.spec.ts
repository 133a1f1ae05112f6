import { randomUUID } from 'node:crypto';
import { RedisUsageTracker } from '../../../libs/quota/src/adapters/redis';
import { MAX_BYTES } from '../../../libs/quota/src/core';
import { untilDue } from '../../contract/usage-tracker/scene';
import { expectExact } from './auditor';
import { bankedScene, LIFE, short, type BankedScene } from './banked';
import { dumpAll, startLedger, stopLedgers, type Ledger } from './ledger';

let ledger: Ledger;
beforeAll(async () => {
  ledger = await startLedger({ tracker: { bank: true, deadlineMs: 5_000 } });
});
afterAll(stopLedgers);
afterEach(() => {
  expect(ledger.defects).toBe(0);
});

const scene = (hardBytes?: number): BankedScene => bankedScene(ledger, hardBytes);
const dump = (): Promise<Record<string, string>> => dumpAll(ledger.probe);

/** Nothing of the server changed while `work` ran. */
async function unchanged<T>(work: () => Promise<T>): Promise<T> {
  const before = await dump();
  const result = await work();
  expect(await dump()).toEqual(before);
  return result;
}

describe('a ledger without a grant', () => {
  it('admits nothing, and keeps no key of a tenant it does not know', async () => {
    const s = scene();
    await unchanged(async () => {
      const error = await short(s.reserve('k', 10));
      expect(error).toMatchObject({ operation: 'reserve', wantBytes: 10, seen: 0 });
      expect(error).toMatchObject({ applied: 'no', contact: 'answered' });
      await short(s.reserve(undefined, 1));
      const none = {
        life: null,
        generation: null,
        seq: 0,
        grantBytes: 0,
        fold: 0,
        rebuilding: false,
      };
      expect(await s.standing()).toEqual(none);
      expect(await s.take(1, 100)).toBe('lost');
      expect(await s.take(1, 100, 'nonce')).toBe('lost');
      expect(await s.fold(1, { bytes: 5, items: [{ key: 'k', bytes: 5, version: 0 }] })).toBe(
        'lost',
      );
      expect(await s.begin('nonce', 3)).toBe('known');
    });
  });

  it('refuses truly what the limit alone refuses, and takes what grows nothing', async () => {
    const s = scene(100);
    expect(await s.reserve('k', 101)).toMatchObject({ outcome: 'rejected', usedAfterBytes: 101 });
    expect(await s.reserve('k', 0)).toMatchObject({ outcome: 'reserved', usedAfterBytes: 0 });
  });

  it('keeps nothing back from checks and from writes that are not enforced', async () => {
    const s = scene();
    expect(await s.check('k', 50)).toMatchObject({ outcome: 'reserved', usedAfterBytes: 50 });
    const hold = await s.hold('k', 50, { enforce: false });
    expect(hold.generation).toMatch(/^[^/]+\/$/);
    expect(await s.commit(hold, 60, { enforce: false })).toMatchObject({ outcome: 'committed' });
    expect((await short(s.reserve('other', 1))).wantBytes).toBe(61);
  });

  it('has no part in a tracker that is under no bank', async () => {
    const plain = scene().on(new RedisUsageTracker(ledger.client, { deadlineMs: 5_000 }));
    const hold = await plain.hold('k', 50);
    expect(hold.generation).not.toContain('/');
    expect(await plain.commit(hold, 70)).toMatchObject({ outcome: 'committed' });
  });
});

describe('a grant', () => {
  it('is admitted from to the byte', async () => {
    const s = await scene().granted(100);
    await s.put('a', 60);
    expect(await short(s.reserve('b', 41))).toMatchObject({ wantBytes: 101, seen: 1 });
    const b = await s.hold('b', 40);
    await unchanged(() => short(s.reserve(undefined, 1)));
    await s.release(b);
    await s.put(undefined, 40);
    expect(await short(s.reserve('a', 61))).toMatchObject({ wantBytes: 101 });
    await s.put('a', 60);
    expect(await s.used()).toEqual([100, 0]);
    expect(await s.standing()).toMatchObject({
      generation: LIFE,
      seq: 1,
      grantBytes: 100,
      fold: 0,
    });
  });

  it('that is short is one thing, a limit that is reached another', async () => {
    const s = await scene(150).granted(100);
    await s.put('a', 90);
    await short(s.reserve('b', 60));
    expect(await s.reserve('b', 61)).toMatchObject({ outcome: 'rejected', usedAfterBytes: 151 });
    // With the limit lowered below what is used, and below the grant, the limit decides.
    const low = { quotaBytes: 50, hardBytes: 50 };
    expect(await s.reserve('b', 1, { limits: low })).toMatchObject({ outcome: 'rejected' });
    expect(await s.reserve('a', 80, { limits: low })).toMatchObject({ outcome: 'reserved' });
  });

  it('is told of in the generation, and a commit takes it with that part and without', async () => {
    const s = await scene().granted(100);
    const [one, two] = [await s.hold('a', 10), await s.hold('b', 10)];
    expect(one.generation).toMatch(/^[^/]+\/bank-life-1$/);
    const again = await s.hold('a', 10, { id: one.id });
    expect(again.generation).toBe(one.generation);
    const [own = ''] = two.generation.split('/');
    expect(await s.commit(one)).toMatchObject({ outcome: 'committed' });
    const other = { generation: `${own}x/${LIFE}` };
    expect(await s.commit(two, 10, other)).toEqual({ outcome: 'bounced' });
    expect(await s.commit(two, 10, { generation: own })).toMatchObject({ outcome: 'committed' });
  });

  it('that has run out does not matter to an id that was admitted', async () => {
    const s = await scene().granted(100);
    const [id, done] = [randomUUID(), await s.hold('done', 10)];
    await s.commit(done);
    await s.hold('a', 60, { id });
    expect(await s.take(2, 20)).toBe('taken');
    expect(await s.hold('a', 60, { id })).toMatchObject({ reply: { usedAfterBytes: 70 } });
    expect(await s.hold('done', 10, { id: done.id })).toBeDefined();
    await short(s.reserve('b', 1));
    expect(await s.used()).toEqual([10, 60]);
    // It was admitted: what it reserved it may commit, and give back.
    const [held] = [await s.hold('a', 60, { id })];
    expect(await s.commit(held)).toMatchObject({ outcome: 'committed' });
    expect(await s.remove('a')).toMatchObject({ freedBytes: 60 });
  });

  it('is short only once all that is due is gone', async () => {
    const s = await scene().granted(3_000);
    const keys = Array.from({ length: 2_500 }, (_, i) => ({ key: `k${String(i)}`, bytes: 1 }));
    const expiresAt = Date.now() + 1_500;
    const corrections = keys.map((each) => ({ ...each, expiresAt }));
    const { applied } = await s.tracker.correct(s.tenant, corrections);
    expect(applied).toBe(2_500);
    await s.put('lasting', 100);
    const lapsing = await s.hold('open', 400, { holdMs: 20 });
    await untilDue(Math.max(20, expiresAt - Date.now()));
    await s.hold('all', 2_900);
    expect(await s.used()).toEqual([100, 2_900]);
    expect(await s.commit(lapsing, 400).catch((error: unknown) => error)).toMatchObject({
      wantBytes: 3_400,
    });
    await expectExact(ledger.probe, s.tenant);
  });

  it('is short for a commit only once all that is due is gone', async () => {
    const s = await scene().granted(100);
    await s.put('old', 60, { ttlMs: 40 });
    const hold = await s.hold('a', 40);
    await untilDue(40);
    expect(await s.commit(hold, 90)).toMatchObject({ outcome: 'committed' });
    expect(await s.used()).toEqual([90, 0]);
  });

  it('is looked at when more is committed than was reserved', async () => {
    const s = await scene(200).granted(100);
    const [a, b] = [await s.hold('a', 50), await s.hold(undefined, 40)];
    const before = await dump();
    expect(await short(s.commit(a, 61))).toMatchObject({ operation: 'commit', wantBytes: 101 });
    expect(await short(s.commit(b, 51))).toMatchObject({ seen: 1, applied: 'no' });
    expect(await dump()).toEqual(before);
    expect(await s.commit(b, 50)).toMatchObject({ outcome: 'committed' });
    await short(s.commit(a, 51));
    expect(await s.commit(a, 51, { enforce: false })).toMatchObject({ outcome: 'committed' });
    // Beyond the limit it is refused, and no grant would help.
    await s.take(2, 110);
    const c = await s.hold('c', 5);
    expect(await s.commit(c, 150)).toMatchObject({ outcome: 'refused' });
    await expectExact(ledger.probe, s.tenant);
  });

  it('is looked at when a commit comes after its deadline', async () => {
    const s = await scene().granted(100);
    const [late, later] = [await s.lapsed('late', 60), await s.lapsed(undefined, 60)];
    await s.put('a', 50);
    const before = await dump();
    expect(await short(s.commit(late))).toMatchObject({ wantBytes: 110 });
    expect(await short(s.commit(later))).toMatchObject({ wantBytes: 110 });
    expect(await dump()).toEqual(before);
    await s.take(2, 120);
    expect(await s.commit(late)).toMatchObject({ outcome: 'committed' });
    expect(await s.commit(late)).toMatchObject({ outcome: 'committed' });
    await short(s.commit(later));
    expect(await s.used()).toEqual([110, 0]);
  });

  it('is taken in order, once, and of the same life only', async () => {
    const s = await scene().granted(100);
    expect(await s.take(5, 500)).toBe('taken');
    await unchanged(async () => {
      expect(await s.take(5, 500)).toBe('known');
      expect(await s.take(5, 900)).toBe('known');
      expect(await s.take(3, 300)).toBe('known');
      expect(await s.take(3, 300, 'nonce')).toBe('known');
      expect(await s.take(6, 900, undefined, 'another')).toBe('other-life');
      expect(await s.begin('n', 5, 'another')).toBe('other-life');
      expect(await s.begin('n', 4)).toBe('known');
    });
    expect(await s.take(6, MAX_BYTES)).toBe('taken');
    expect(await s.standing()).toMatchObject({ seq: 6, grantBytes: MAX_BYTES });
    expect(await s.take(7, 0)).toBe('taken');
    await short(s.reserve('k', 1));
  });

  it('goes with the tenant', async () => {
    const s = await scene().granted(100, 7);
    await s.fold(3, { bytes: 5 });
    const hold = await s.hold('k', 10);
    await s.tracker.drop(s.tenant);
    expect(await s.standing()).toMatchObject({ generation: null, seq: 0, grantBytes: 0, fold: 0 });
    await short(s.reserve('k', 10));
    expect(await s.take(8, 100)).toBe('lost');
    expect(await s.fold(4, { bytes: 5 })).toBe('lost');
    expect(await s.commit(hold)).toEqual({ outcome: 'bounced' });
    expect(await s.begin('n', 0, 'life-2')).toBe('begun');
    await s.tracker.drop(s.tenant);
    expect(await s.begin('m', 0, 'life-3')).toBe('begun');
    expect(await s.take(9, 50, 'n', 'life-3')).toBe('lost');
    expect(await s.take(9, 50, 'm', 'life-3')).toBe('taken');
    await s.put('k', 50);
  });
});

describe('a rebuild', () => {
  it('admits nothing until it ends, while entries are corrected', async () => {
    const s = await scene().granted(1_000);
    await s.put('a', 100);
    const hold = await s.hold('h', 100);
    expect(await s.begin('n', 1)).toBe('begun');
    await short(s.reserve('b', 1));
    expect(await short(s.commit(hold, 101))).toMatchObject({ seen: 1 });
    expect(await s.fold(1, { bytes: 10 })).toBe('lost');
    expect(await s.take(2, 1_000)).toBe('lost');
    expect(await s.take(2, 1_000, 'other')).toBe('lost');
    expect(await s.begin('n', 1)).toBe('begun');
    const seen = { bytes: 100, version: 0 };
    await s.tracker.correct(s.tenant, [
      { key: 'a', bytes: 300, seen },
      { key: 'b', bytes: 50 },
    ]);
    // Giving back goes on, and so does what was admitted before.
    expect(await s.commit(hold)).toMatchObject({ outcome: 'committed' });
    expect(await s.remove('h')).toMatchObject({ freedBytes: 100 });
    expect(await s.reserve('a', 200)).toMatchObject({ outcome: 'reserved' });
    expect(await s.take(2, 400, 'n')).toBe('taken');
    expect(await s.take(2, 400, 'n')).toBe('known');
    await short(s.reserve('b', 101));
    await s.put('b', 100);
    expect(await s.used()).toEqual([400, 0]);
    await expectExact(ledger.probe, s.tenant);
  });

  it('corrects keys that a write is on its way to, unless more is known of them', async () => {
    const s = await scene().granted(1_000);
    const [a, b] = [await s.hold('a', 100), await s.hold('b', 100)];
    expect(await s.begin('n', 1)).toBe('begun');
    await s.tracker.remove({ tenant: s.tenant, id: randomUUID(), key: 'b', version: 8 });
    const found = ['a', 'b'].map((key) => ({ key, bytes: 300, version: 7 }));
    expect(await s.tracker.correct(s.tenant, found)).toEqual({ applied: 1, deltaBytes: 300 });
    expect(await s.used()).toEqual([300, 100]);
    expect(await s.commit(a)).toMatchObject({ outcome: 'committed', replaced: true });
    await s.release(b);
    expect(await s.take(2, 400, 'n')).toBe('taken');
    const hold = await s.hold('a', 50);
    const later = [{ key: 'a', bytes: 200, seen: { bytes: 100, version: 0 } }];
    expect(await s.tracker.correct(s.tenant, later)).toEqual({ applied: 0, deltaBytes: 0 });
    await s.release(hold);
    expect(await s.used()).toEqual([100, 0]);
    await expectExact(ledger.probe, s.tenant);
  });

  it('refuses nobody for what is counted meanwhile', async () => {
    const s = await scene(200).granted(200);
    await s.put('a', 150);
    const hold = await s.hold('h', 10);
    expect(await s.begin('n', 1)).toBe('begun');
    expect(await s.standing()).toMatchObject({ rebuilding: true, grantBytes: 0 });
    expect((await short(s.reserve('b', 100))).wantBytes).toBe(260);
    await short(s.commit(hold, 100));
    expect(await s.take(2, 200, 'n')).toBe('taken');
    expect(await s.reserve('b', 100)).toMatchObject({ outcome: 'rejected' });
  });

  it('that was overtaken does not end the one after it', async () => {
    const s = await scene().granted(100);
    expect(await s.begin('first', 1)).toBe('begun');
    expect(await s.begin('second', 1)).toBe('begun');
    expect(await unchanged(() => s.take(2, 100, 'first'))).toBe('lost');
    await short(s.reserve('k', 1));
    expect(await s.take(3, 200, 'second')).toBe('taken');
    expect(await unchanged(() => s.take(2, 100, 'first'))).toBe('known');
    expect(await unchanged(() => s.begin('third', 1))).toBe('known');
    await s.put('k', 200);
  });

  it('ends when its Redis loses all in the middle, and begins anew', async () => {
    const s = await scene().granted(1_000);
    await s.put('a', 100);
    const hold = await s.hold('h', 10);
    await ledger.probe.flushall();
    expect(await short(s.reserve('b', 1))).toMatchObject({ seen: 0 });
    expect(await s.take(2, 1_000)).toBe('lost');
    expect(await s.begin('n')).toBe('begun');
    await s.tracker.correct(s.tenant, [{ key: 'a', bytes: 100 }]);
    await ledger.probe.flushall();
    await s.tracker.correct(s.tenant, [{ key: 'b', bytes: 100 }]);
    expect(await s.take(2, 1_000, 'n')).toBe('lost');
    await short(s.reserve('c', 1));
    expect(await s.begin('m')).toBe('begun');
    await s.tracker.correct(s.tenant, [{ key: 'a', bytes: 100 }]);
    expect(await s.take(3, 210, 'n')).toBe('lost');
    expect(await s.take(3, 210, 'm')).toBe('taken');
    expect(await s.commit(hold)).toEqual({ outcome: 'bounced' });
    await short(s.reserve('c', 11));
    await s.put('c', 10);
    expect(await s.used()).toEqual([210, 0]);
  });

  it('and all the rest is found again after SCRIPT FLUSH', async () => {
    const s = scene();
    const forget = () => ledger.probe.script('FLUSH', 'SYNC');
    await forget();
    expect(await s.begin('n')).toBe('begun');
    await forget();
    expect(await s.take(1, 100, 'n')).toBe('taken');
    await forget();
    const items = [{ key: 'a', bytes: 10, version: 0 }];
    expect(await s.fold(1, { bytes: 10, items })).toBe('done');
    await forget();
    expect(await s.standing()).toMatchObject({ grantBytes: 110, fold: 1 });
    await forget();
    await short(s.reserve('b', 101));
  });
});
