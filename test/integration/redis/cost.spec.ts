import { randomUUID } from 'node:crypto';
import { waitUntil } from '../../support';
import type { Scene } from '../../contract/usage-tracker/scene';
import { expectExact } from './auditor';
import { startLedger, stopLedgers, type Ledger } from './ledger';

const UNLIMITED = { quotaBytes: 1e12, hardBytes: 1e12 };

describe('what the ledger costs', () => {
  let ledger: Ledger;
  beforeAll(async () => {
    ledger = await startLedger({ tracker: { deadlineMs: 10_000 } });
  });
  afterAll(stopLedgers);

  const fill = async (s: Scene, count: number, lifeMs: number): Promise<void> => {
    const expiresAt = Date.now() + lifeMs;
    const keys = Array.from({ length: count }, (_, i) => `key-${i}`);
    await s.tracker.correct(
      s.tenant,
      keys.map((key) => ({ key, bytes: 100, expiresAt })),
    );
  };

  /** µs of the server's own time for each call of a script, the smallest of several rounds. */
  const cost = async (work: () => Promise<unknown>): Promise<number> => {
    let best = Infinity;
    for (let round = 0; round < 5; round++) {
      await ledger.probe.config('RESETSTAT');
      for (let i = 0; i < 200; i++) await work();
      const stats = await ledger.probe.info('commandstats');
      const found = /^cmdstat_evalsha:calls=(\d+),usec=(\d+)/m.exec(stats);
      best = Math.min(best, Number(found?.[2]) / Number(found?.[1]));
    }
    return best;
  };

  it('a reserve takes as long with 100,000 entries as with 10', async () => {
    const [few, many] = [ledger.scene(UNLIMITED), ledger.scene(UNLIMITED)];
    await fill(few, 10, 3_600_000);
    const before = await memory();
    await fill(many, 100_000, 3_600_000);
    const each = ((await memory()) - before) / 100_000;
    const write = (s: Scene) => async () => {
      const hold = await s.hold('key-5', 120);
      await s.release(hold);
    };
    const costs = { few: await cost(write(few)), many: await cost(write(many)) };
    const refused = { quotaBytes: 1, hardBytes: 1 };
    const refusal = await cost(() => many.reserve('new', 1e11, { limits: refused }));
    const walked = await cost(() =>
      many.reserve('new', 99_000, { limits: { quotaBytes: 1e7, hardBytes: 1e7 } }),
    );
    process.stdout.write(
      `ledger: ${each.toFixed(0)} bytes of memory an entry (key of 9 bytes, with expiry); ` +
        `reserve and release ${costs.few.toFixed(0)} µs each with 10 entries, ` +
        `${costs.many.toFixed(0)} µs with 100,000; a refusal ${refusal.toFixed(0)} µs, ` +
        `one that walks 990 entries for its Retry-After ${walked.toFixed(0)} µs\n`,
    );
    expect(costs.many).toBeLessThan(costs.few * 2 + 20);
    expect(each).toBeLessThan(400);
  }, 90_000);

  it('entries that expired in thousands are reaped in steps, and a refusal is true', async () => {
    const s = ledger.scene({ quotaBytes: 1_000_000, hardBytes: 1_000_000 });
    await fill(s, 9_000, 3_000);
    await s.put('lasting', 50_000);
    expect((await s.reserve('more', 100_000)).outcome).toBe('rejected');
    await waitUntil(async () => (await s.entry('key-8999')) === null);
    // 9,000 are due; a reserve reaps 32 and, before it refuses, all the others.
    expect(await s.reserve('more', 950_000)).toMatchObject({
      outcome: 'reserved',
      usage: { committedBytes: 50_000, reservedBytes: 950_000 },
    });
    expect(await s.reserve('again', 1)).toMatchObject({ outcome: 'rejected' });
    await expectExact(ledger.probe, s.tenant);
  });

  it('marks and reservations leave nothing behind', async () => {
    const s = ledger.scene(UNLIMITED);
    for (let i = 0; i < 100; i++) {
      await s.release(await s.hold(`k${i % 7}`, i));
      await s.remove(`k${i % 7}`);
    }
    await s.hold('lapses', 5, { holdMs: 10 });
    const keys = ledger.keys.ledger(s.tenant);
    expect(await marks(s)).toBeGreaterThan(0);
    await waitUntil(
      async () => {
        await s.used();
        return (await ledger.probe.exists(...keys)) === 1;
      },
      { timeoutMs: 15_000 },
    );
    // Only the state is left: it holds the generation and the stamp.
    expect(await ledger.probe.exists(keys[0] ?? '')).toBe(1);
  }, 30_000);

  it('a hundred writers of one key at once stay exact', async () => {
    const s = ledger.scene({ quotaBytes: 500, hardBytes: 500 });
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, (_, i) => s.reserve('k', 5 * (i + 1), { id: randomUUID() })),
    );
    expect(new Set(outcomes.map(({ outcome }) => outcome))).toEqual(new Set(['reserved']));
    expect(await s.used()).toEqual([0, 500]);
    await expectExact(ledger.probe, s.tenant);
  });

  async function memory(): Promise<number> {
    return Number(/used_memory:(\d+)/.exec(await ledger.probe.info('memory'))?.[1]);
  }

  /** Marks of settled ids, after what is due of them was forgotten. */
  async function marks(s: Scene): Promise<number> {
    await s.used();
    return ledger.probe.zcard(`quota:{${s.tenant}}:m`);
  }
});
