import { randomUUID } from 'node:crypto';
import { loadScripts } from '../../../libs/quota/src/adapters/redis/script-source';
import type { Scene } from '../../contract/usage-tracker/scene';
import { audit, expectExact } from './auditor';
import { startLedger, stopLedgers, type Ledger } from './ledger';

const SIZE = 10;

describe('recount', () => {
  let ledger: Ledger;
  beforeAll(async () => {
    ledger = await startLedger({ tracker: { deadlineMs: 5_000 } });
  });
  afterAll(stopLedgers);

  /** Enough entries for many pages. */
  const filled = async (count: number): Promise<Scene> => {
    const s = ledger.scene({ quotaBytes: 1e12, hardBytes: 1e12 });
    const keys = Array.from({ length: count }, (_, i) => `k${i}`);
    await s.tracker.correct(
      s.tenant,
      keys.map((key) => ({ key, bytes: SIZE })),
    );
    return s;
  };
  const skew = (s: Scene, delta: number) =>
    ledger.probe.hincrby(ledger.keys.state(s.tenant), 'c', delta);

  it('of many pages is exact under traffic of every kind', async () => {
    const s = await filled(6_000);
    await s.put(undefined, 777);
    await skew(s, 12_345);
    let counting = true;
    let writes = 0;
    const traffic = async (worker: number): Promise<void> => {
      for (let i = 0; counting; i++, writes++) {
        const key = `k${(i * 7_919 + worker * 104_729) % 7_000}`;
        const kind = (i + worker) % 6;
        if (kind === 0) await s.remove(key);
        else if (kind === 1) await s.put(key, i % 50, { ttlMs: 5 + (i % 40) });
        else if (kind === 2) await s.hold(key, 99, { holdMs: 10 });
        else if (kind === 3) await s.putUnmetered(key, Buffer.alloc(i % 30));
        else await s.put(key, i % 100);
      }
    };
    const workers = [0, 1, 2, 3].map(traffic);
    const drifts: number[] = [];
    while (drifts.length < 3 || writes < 300) {
      drifts.push((await s.tracker.recount(s.tenant)).driftBytes);
    }
    counting = false;
    await Promise.all(workers);
    expect(drifts[0]).toBe(12_345);
    expect(new Set(drifts.slice(1))).toEqual(new Set([0]));
    await s.tracker.recount(s.tenant);
    await expectExact(ledger.probe, s.tenant);
    expect(ledger.defects).toBe(0);
  });

  it('by several at once is one count, and gives all of them its result', async () => {
    const s = await filled(3_000);
    await skew(s, -5_000);
    const replies = await Promise.all([1, 2, 3].map(() => s.tracker.recount(s.tenant)));
    expect(replies.map(({ driftBytes }) => driftBytes)).toEqual([-5_000, -5_000, -5_000]);
    expect(replies[0]?.usage.committedBytes).toBe(30_000);
    expect((await s.tracker.recount(s.tenant)).driftBytes).toBe(0);
  });

  const page = (s: Scene, session: number): Promise<unknown[]> => {
    const keys = ledger.keys.ledger(s.tenant);
    return ledger.client.evalsha(
      ...([recountSha, keys.length, ...keys, String(session), '500'] as const),
    ) as Promise<unknown[]>;
  };
  let recountSha = '';
  beforeAll(async () => {
    const { source, sha } = loadScripts()['recount-page'];
    await ledger.probe.script('LOAD', source);
    recountSha = sha;
  });

  it('killed after any page leaves nothing wrong, and the next one finishes it', async () => {
    const s = await filled(2_000);
    for (let pages = 1; pages < 4; pages++) {
      await skew(s, 100);
      for (let i = 0; i < pages; i++) await page(s, 0);
      await s.put('k1', 500);
      await s.remove('k2');
      await s.put('k2', SIZE);
      await s.put('k1', SIZE);
      expect((await audit(ledger.probe, s.tenant)).trueCommitted).toBe(20_000);
      expect((await s.tracker.recount(s.tenant)).driftBytes).toBe(100);
      await expectExact(ledger.probe, s.tenant);
    }
  });

  it('whose cursor lost its ground, as by a failover, starts anew instead of counting too little', async () => {
    const s = await filled(2_000);
    await page(s, 0);
    await skew(s, 100);
    // Whatever the cursor pointed past is not counted any more.
    await ledger.probe.hset(ledger.keys.state(s.tenant), 'rc', String(2 ** 40));
    const { driftBytes, usage } = await s.tracker.recount(s.tenant);
    expect(driftBytes).toBe(100);
    expect(usage.committedBytes).toBe(20_000);
    await expectExact(ledger.probe, s.tenant);
  });

  it('of a tenant dropped meanwhile counts the new life', async () => {
    const s = await filled(2_000);
    await page(s, 0);
    await s.tracker.drop(s.tenant);
    await s.put('new', 33);
    expect(await s.tracker.recount(s.tenant)).toMatchObject({
      driftBytes: 0,
      usage: { committedBytes: 33 },
    });
    await expectExact(ledger.probe, s.tenant);
  });

  it('sets reserved to what the open reservations say, unkeyed ones too', async () => {
    const s = ledger.scene();
    await s.put('k', 40);
    await s.hold('k', 60);
    await s.hold(undefined, 5);
    await s.putUnmetered('u', Buffer.alloc(30));
    await s.hold('u', 50, { stamp: 1 });
    await ledger.probe.hincrby(ledger.keys.state(s.tenant), 'r', 17);
    const { usage } = await s.tracker.recount(s.tenant);
    expect(usage).toEqual({ committedBytes: 70, reservedBytes: 20 + 5 + 20, unmeteredBytes: 0 });
    await expectExact(ledger.probe, s.tenant);
  });

  it('lists every entry that is present all the while', async () => {
    const s = await filled(3_000);
    const seen = new Set<string>();
    let cursor: string | null = null;
    let i = 0;
    do {
      const found: Awaited<ReturnType<typeof s.tracker.entries>> = await s.tracker.entries(
        s.tenant,
        cursor,
        200,
      );
      for (const { key } of found.entries) seen.add(key);
      cursor = found.next;
      await s.put(`more-${randomUUID()}`, 1);
      await s.remove(`k${i}`);
      i += 1;
    } while (cursor !== null);
    for (let left = 100; left < 3_000; left++) expect(seen.has(`k${left}`)).toBe(true);
  });
});
