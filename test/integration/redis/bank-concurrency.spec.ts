import fc from 'fast-check';
import { RedisUsageTracker } from '../../../libs/quota/src/adapters/redis';
import { GrantShortError } from '../../../libs/quota/src/core';
import { expectExact } from './auditor';
import { bankedScene, type BankedScene } from './banked';
import { ready, startLedger, stopLedgers, type Ledger } from './ledger';

const CHUNK = 700;
const HARD = 40_000;
const SEED = Number(process.env['MODEL_SEED'] ?? Date.now() % 2 ** 31);
const KEYS = 12;

/** Numbers that come again with the seed, whoever asks first. */
function dice(seed: number): (below: number) => number {
  const [next] = fc.sample(fc.infiniteStream(fc.nat({ max: 2 ** 30 })), { seed, numRuns: 1 });
  return (below) => Number(next?.next().value) % below;
}

/** Grants in small chunks and folds, one at a time; what it gave and drew stays within the limit. */
class SmallBank {
  grants = 0;
  folds = 0;
  private granted = 0;
  private seq = 1;
  private turn: Promise<void> = Promise.resolve();

  /** More for whoever knows no later grant than `seen`, as far as it goes. @returns false: no more */
  raise(by: BankedScene, seen: number): Promise<boolean> {
    return this.alone(async () => {
      if (seen < this.seq) return true;
      if (this.granted === HARD) return false;
      this.granted = Math.min(HARD, this.granted + CHUNK);
      this.grants += 1;
      expect(await by.take(++this.seq, this.granted)).toBe('taken');
      return true;
    });
  }

  /** A batch of one write and one charge, sent by two at once. */
  draw(senders: BankedScene[], key: string, size: number): Promise<void> {
    return this.alone(async () => {
      const bytes = 2 * size;
      if (this.granted + bytes > HARD) return;
      const items = [{ key, bytes: size, version: 0 }];
      const number = ++this.folds;
      const batch = { items, unkeyedBytes: size, bytes };
      const told = await Promise.all(senders.map((sender) => sender.fold(number, batch)));
      expect(new Set(told)).toEqual(new Set(['done']));
      this.granted += bytes;
    });
  }

  private alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.turn.then(work);
    this.turn = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }
}

describe('four instances under a bank that grants little at a time', () => {
  let ledger: Ledger;
  beforeAll(async () => {
    ledger = await startLedger({ tracker: { bank: true, deadlineMs: 10_000 } });
  });
  afterAll(stopLedgers);

  it('never hold more than was granted, and are exact at the end', async () => {
    process.stdout.write(`bank and four instances: MODEL_SEED=${String(SEED)}\n`);
    const first = await bankedScene(ledger, HARD).granted(0);
    const scenes = [first];
    for (let i = 1; i < 4; i++) {
      const client = ledger.server.client();
      await ready(client);
      scenes.push(first.on(new RedisUsageTracker(client, { bank: true, deadlineMs: 10_000 })));
    }
    const bank = new SmallBank();
    const counts = { committed: 0, short: 0, gaveUp: 0, rejected: 0, refused: 0 };

    /** A write that asks the bank as often as the grant is short. */
    const granted = async <T>(s: BankedScene, write: () => Promise<T>): Promise<T | null> => {
      for (;;) {
        try {
          return await write();
        } catch (error) {
          if (!(error instanceof GrantShortError)) throw error;
          counts.short += 1;
          if (!(await bank.raise(s, error.seen))) return null;
        }
      }
    };
    const write = async (s: BankedScene, roll: (below: number) => number): Promise<unknown> => {
      const key = roll(5) === 0 ? undefined : `k${String(roll(KEYS))}`;
      const bytes = roll(600);
      const hold = await granted(s, () => s.hold(key, bytes).catch(rejected));
      if (!hold) return (counts.gaveUp += 1);
      if (hold === 'rejected') return (counts.rejected += 1);
      if (roll(5) === 0) return s.release(hold);
      const more = roll(3) === 0 ? roll(300) : 0;
      const reply = await granted(s, () => s.commit(hold, bytes + more));
      if (reply?.outcome === 'committed') counts.committed += 1;
      else if (reply?.outcome === 'refused') counts.refused += 1;
      else await s.release(hold);
      if (roll(3) === 0) await s.remove(`k${String(roll(KEYS))}`);
      if (roll(12) === 0) await s.refund(roll(400));
      if (roll(12) === 0) await bank.draw([s, first], `k${String(roll(KEYS))}`, roll(90));
      return undefined;
    };

    let [looks, beyond, ended] = [0, 0, false];
    const watch = async (): Promise<void> => {
      const state = ledger.keys.state(first.tenant);
      while (!ended) {
        const [c, r, gb] = (await ledger.probe.hmget(state, 'c', 'r', 'gb')).map(Number);
        looks += 1;
        if ((c ?? 0) + (r ?? 0) > (gb ?? 0)) beyond += 1;
      }
    };
    const watching = Promise.all([watch(), watch(), watch(), watch()]);
    await Promise.all(
      scenes.flatMap((s, i) =>
        [0, 1, 2].map(async (j) => {
          const roll = dice(SEED + i * 3 + j);
          for (let n = 0; n < 150; n++) await write(s, roll);
        }),
      ),
    ).finally(() => (ended = true));
    await watching;

    const told = { looks, grants: bank.grants, folds: bank.folds, ...counts };
    process.stdout.write(`bank and four instances: ${JSON.stringify(told)}\n`);
    expect(beyond).toBe(0);
    expect(ledger.defects).toBe(0);
    expect(looks).toBeGreaterThan(100);
    expect(counts.short).toBeGreaterThan(5);
    expect(bank.folds).toBeGreaterThan(5);
    expect(await expectExact(ledger.probe, first.tenant)).toMatchObject({ open: 0, reserved: 0 });
  }, 60_000);
});

/** A true refusal, which Scene.hold tells as an error. */
function rejected(error: unknown): 'rejected' {
  if (error instanceof GrantShortError || !(error instanceof Error)) throw error;
  if (!error.message.includes('"outcome":"rejected"')) throw error;
  return 'rejected';
}
