import fc from 'fast-check';
import { GrantShortError, type FoldItem } from '../../../libs/quota/src/core';
import type { Hold } from '../../contract/usage-tracker/scene';
import { expectExact } from './auditor';
import { BankModel } from './bank.model';
import { bankedScene, type BankedScene } from './banked';
import { startLedger, stopLedgers, type Ledger } from './ledger';

const HARD = 300;
const RUNS = Number(process.env['MODEL_RUNS'] ?? 150);
const SEED = Number(process.env['MODEL_SEED'] ?? Date.now() % 2 ** 31);

const key = fc.constantFrom('a', 'b', '__proto__');
const keyOrNone = fc.option(key, { nil: undefined });
const size = fc.nat({ max: 120 });
const version = fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined });
const often = fc.integer({ min: 0, max: 9 }).map((n) => n > 0);
const life = often.map((usual) => (usual ? 'life' : 'other-life'));
const nonce = fc.constantFrom('x', 'y');
const pick = fc.nat();
const items = fc.array(
  fc.record({
    ...{ key, bytes: fc.option(size, { nil: undefined }), lives: often },
    version: fc.nat({ max: 9 }),
  }),
  { maxLength: 5 },
);

const is = <T extends string>(name: T): fc.Arbitrary<T> => fc.constant(name);
const near = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min, max });
const plans = {
  reserve: fc.record({ do: is('reserve'), key: keyOrNone, size, enforce: often }),
  again: fc.record({ do: is('again') }),
  commit: fc.record({ do: is('commit'), pick, more: near(-40, 60), version, enforce: often }),
  release: fc.record({ do: is('release'), pick }),
  remove: fc.record({ do: is('remove'), key, version }),
  refund: fc.record({ do: is('refund'), size }),
  fold: fc.record({
    ...{ do: is('fold'), life, items, unkeyed: size, refund: size, bytes: size, next: near(-1, 2) },
  }),
  take: fc.record({
    ...{ do: is('take'), life, bytes: near(0, 2 * HARD), next: near(-1, 3) },
    nonce: fc.option(nonce, { nil: '' }),
  }),
  begin: fc.record({ do: is('begin'), life, nonce, off: near(0, 5) }),
  // A grant as it is usually given, so that most lives get somewhere.
  granted: fc.record({ do: is('granted'), bytes: near(HARD / 2, 2 * HARD) }),
  drop: fc.record({ do: is('drop') }),
  lose: fc.record({ do: is('lose') }),
};
const step = fc.oneof(
  ...[
    { weight: 10, arbitrary: plans.reserve },
    { weight: 10, arbitrary: plans.commit },
  ],
  ...[
    { weight: 6, arbitrary: plans.fold },
    { weight: 6, arbitrary: plans.take },
  ],
  ...[
    { weight: 3, arbitrary: plans.remove },
    { weight: 3, arbitrary: plans.release },
  ],
  ...[
    { weight: 2, arbitrary: plans.again },
    { weight: 2, arbitrary: plans.begin },
  ],
  ...[
    { weight: 5, arbitrary: plans.granted },
    { weight: 1, arbitrary: plans.refund },
  ],
  ...[
    { weight: 1, arbitrary: plans.drop },
    { weight: 1, arbitrary: plans.lose },
  ],
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** A tenant on the ledger and in the model, and what its writers remember. */
class Life {
  readonly model = new BankModel(HARD);
  private readonly holds: (Hold & { life: number })[] = [];
  private ids = 0;

  constructor(
    private readonly ledger: Ledger,
    readonly s: BankedScene,
  ) {}

  /** Sends a step to both. @returns what each of them says of it; undefined: there was nothing to do. */
  async send(plan: Step): Promise<[found: unknown, expected: unknown] | undefined> {
    const { s, model } = this;
    const { grant } = model;
    switch (plan.do) {
      case 'reserve':
        return this.reserve(`id-${String(++this.ids)}`, plan.key, plan.size, plan.enforce);
      case 'again': {
        const hold = this.holds.find((each) => model.open.has(each.id));
        return hold && this.reserve(hold.id, hold.key, hold.bytes, true);
      }
      case 'commit':
        return this.commit(plan);
      case 'release': {
        const [hold] = this.holds.splice(plan.pick % (this.holds.length || 1), 1);
        if (!hold) return undefined;
        const expected = model.open.has(hold.id) ? 'released' : 'settled';
        model.close(hold.id);
        return [(await s.release(hold)).outcome, expected];
      }
      case 'remove': {
        const newer = plan.version === undefined ? {} : { version: plan.version };
        const { removed, freedBytes } = await s.remove(plan.key, newer);
        const expected = model.remove(plan.key, plan.version);
        return [`removed ${String(removed ? freedBytes : 'nothing')}`, expected];
      }
      case 'refund':
        return [`freed ${String((await s.refund(plan.size)).freedBytes)}`, model.refund(plan.size)];
      case 'fold':
        return this.fold(plan);
      case 'take': {
        const seq = Math.max(1, grant.seq + plan.next);
        const sent = plan.nonce === '' ? undefined : plan.nonce;
        const found = await s.take(seq, plan.bytes, sent, plan.life);
        return [found, model.take(plan.life, seq, plan.bytes, plan.nonce)];
      }
      case 'begin': {
        const seen = grant.seq + (plan.off === 5 ? 1 : 0);
        const found = await s.begin(plan.nonce, seen, plan.life);
        return [found, model.begin(plan.life, plan.nonce, seen)];
      }
      case 'granted': {
        const { seq, generation } = grant;
        const of = generation ?? 'life';
        const found = [await s.begin('n', seq, of), await s.take(seq + 1, plan.bytes, 'n', of)];
        return [found, [model.begin(of, 'n', seq), model.take(of, seq + 1, plan.bytes, 'n')]];
      }
      case 'drop':
        await s.tracker.drop(s.tenant);
        model.forget(true);
        return ['', ''];
      case 'lose':
        await this.ledger.probe.del(this.ledger.keys.ledger(s.tenant));
        model.forget(false);
        return ['', ''];
    }
  }

  private async reserve(id: string, name: string | undefined, bytes: number, enforce: boolean) {
    const reply = await this.outcome(this.s.reserve(name, bytes, { id, enforce }));
    const known = this.model.open.has(id);
    const expected = this.model.reserve(id, name, bytes, enforce);
    if (typeof reply === 'string') return [reply, expected] as [unknown, unknown];
    if (reply.outcome === 'reserved' && !known) {
      const { generation } = reply;
      this.holds.push({ id, key: name, bytes, generation, reply, life: this.model.life });
    }
    return [reply.outcome, expected] as [unknown, unknown];
  }

  private async commit(
    plan: Extract<Step, { do: 'commit' }>,
  ): Promise<[unknown, unknown] | undefined> {
    const index = plan.pick % (this.holds.length || 1);
    const hold = this.holds[index];
    if (!hold) return undefined;
    const { version: of, enforce } = plan;
    const bytes = Math.max(0, hold.bytes + plan.more);
    const options = { enforce, ...(of !== undefined && hold.key !== undefined && { version: of }) };
    const reply = await this.outcome(this.s.commit(hold, bytes, options));
    const found = typeof reply === 'string' ? reply : reply.outcome;
    if (found !== 'short') this.holds.splice(index, 1);
    return [found, this.model.commit(hold.id, hold, bytes, of, enforce)];
  }

  private async fold(plan: Extract<Step, { do: 'fold' }>): Promise<[unknown, unknown]> {
    const batch = {
      generation: plan.life,
      number: Math.max(1, this.model.grant.fold + plan.next),
      items: plan.items.map(({ bytes, lives, ...rest }): FoldItem => {
        const life = lives ? {} : { ttlMs: 0 };
        return bytes === undefined ? rest : { ...rest, bytes, ...life };
      }),
      ...{ unkeyedBytes: plan.unkeyed, refundBytes: plan.refund, bytes: plan.bytes },
    };
    const found = await this.s.tracker.fold(this.s.tenant, batch);
    return [found, this.model.fold(batch)];
  }

  private outcome<T>(write: Promise<T>): Promise<T | 'short'> {
    const { seq } = this.model.grant;
    return write.catch((error: unknown) => {
      if (!(error instanceof GrantShortError)) throw error;
      expect(error.seen).toBe(seq);
      return 'short';
    });
  }
}

describe('a ledger under a bank', () => {
  let ledger: Ledger;
  beforeAll(async () => {
    ledger = await startLedger({ tracker: { bank: true, deadlineMs: 5_000 } });
    process.stdout.write(`under a bank: MODEL_SEED=${String(SEED)} MODEL_RUNS=${String(RUNS)}\n`);
  });
  afterAll(stopLedgers);

  it('does as its model, whatever comes in whatever order', async () => {
    const seen: Record<string, number> = {};
    const lives = fc.asyncProperty(
      fc.array(step, { maxLength: 80, size: 'max' }),
      async (steps) => {
        const it = new Life(ledger, bankedScene(ledger, HARD));
        for (const plan of steps) {
          const told = await it.send(plan);
          if (!told) continue;
          const [found, expected] = told;
          expect([plan, found]).toEqual([plan, expected]);
          const name = `${plan.do} ${String(found)}`.replace(/\d+/g, 'n');
          seen[name] = (seen[name] ?? 0) + 1;
          expect(await it.s.used()).toEqual([it.model.committed(), it.model.reserved()]);
          expect(await it.s.standing()).toMatchObject({
            ...it.model.grant,
            rebuilding: it.model.rebuild !== '',
          });
          const { entries } = await it.s.tracker.entries(it.s.tenant, null, 100);
          const stored = entries.map(({ key: name, entry }) => [name, entry] as const);
          expect(new Map(stored)).toEqual(it.model.entries);
        }
        await expectExact(ledger.probe, it.s.tenant);
      },
    );
    await fc.assert(lives, { seed: SEED, numRuns: RUNS });
    expect(ledger.defects).toBe(0);
    process.stdout.write(`under a bank: ${JSON.stringify(seen)}\n`);
    // A life in which nothing was ever short, lost or folded would prove little.
    for (const name of ['reserve short', 'commit short', 'fold done', 'fold lost', 'take taken']) {
      expect([name, (seen[name] ?? 0) > 0]).toEqual([name, true]);
    }
  }, 300_000);
});
