import fc from 'fast-check';
import { decide, QuotaDecision } from './decision';
import { wasAdmitted } from './decision-recorder';
import type { DecisionRecord } from './decision-store';
import type { QuotaMode } from './quota';
import { TenantReplay } from './replay';

/** A write of a tenant that really held `usedBeforeBytes`, as it is recorded. */
function write(
  usedBeforeBytes: number,
  deltaBytes: number,
  { hard = 100, mode = 'shadow', at = 0 }: { hard?: number; mode?: QuotaMode; at?: number } = {},
): DecisionRecord {
  const used = usedBeforeBytes + deltaBytes;
  const limits = { quotaBytes: hard, hardBytes: hard };
  const decision = decide(used, deltaBytes > 0, limits);
  const bytes = Math.abs(deltaBytes);
  return { tenant: 't', at, bytes, deltaBytes, usedBeforeBytes, ...limits, decision, mode };
}

/** Which of the writes the limit would have refused. */
function refused(limit: number | null, writes: readonly DecisionRecord[]): boolean[] {
  const replay = new TenantReplay(limit);
  return writes.map((one) => replay.next(one) !== null);
}

describe('a replay by hand', () => {
  it('leaves out what it refused: 40 + 40 of 50, then 10 fits', () => {
    const writes = [write(0, 40), write(40, 40), write(80, 10), write(90, 1)];
    expect(refused(50, writes)).toEqual([false, true, false, true]);
    const replay = new TenantReplay(50);
    replay.next(writes[0]!);
    expect(replay.next(writes[1]!)).toEqual({ at: 0, bytes: 40, usedBytes: 40, beyondBytes: 30 });
  });

  it('adds what was refused and would have been stored', () => {
    const mode = 'enforce';
    const writes = [write(90, 20, { mode }), write(90, 5, { mode }), write(95, 25, { mode })];
    expect(writes.map(({ decision }) => decision)).toEqual(['REJECT', 'ALLOW', 'REJECT']);
    // 90 + 20 + 5 = 115; with 25 more, 140.
    expect(refused(120, writes)).toEqual([false, false, true]);
    expect(refused(140, writes)).toEqual([false, false, false]);
  });

  it('never refuses what shrinks, however far beyond the limit', () => {
    expect(refused(10, [write(80, -30), write(50, 0)])).toEqual([false, false]);
  });

  it('takes what goes between two writes to go in the same share from both', () => {
    // Of 80 in truth the replay has 40. In truth half goes: the replay has 20, and 30 fit into 50.
    const writes = [write(0, 40), write(40, 40), write(40, 30), write(70, 1)];
    expect(refused(50, writes)).toEqual([false, true, false, true]);
  });

  it('goes on refusing where as much comes as goes', () => {
    // Always about 100 in truth, in writes of 10, against a limit of 50: about every second is refused.
    const writes = Array.from({ length: 200 }, () => write(90, 10, { hard: 1_000 }));
    const count = refused(50, writes).filter(Boolean).length;
    expect(count).toBeGreaterThan(70);
    expect(count).toBeLessThan(130);
  });

  it('refuses for its size alone whatever the limit, and counts what shadow stored', () => {
    const large = { ...write(0, 500), usedBeforeBytes: null, quotaBytes: null };
    const shadow = { ...large, decision: QuotaDecision.REJECT };
    expect(refused(1_000, [shadow])).toEqual([true]);
    // 500 of the 510 are not there.
    expect(refused(20, [shadow, write(500, 10), write(510, 11)])).toEqual([true, false, true]);
  });
});

/** A tenant's life under a limit: writes, and what goes between them. */
const life = fc.array(
  fc.record({
    delta: fc.integer({ min: -60, max: 60 }),
    goes: fc.integer({ min: 0, max: 40 }),
  }),
  { maxLength: 60 },
);
const hardLimit = fc.integer({ min: 1, max: 300 });

function record(
  steps: readonly { delta: number; goes: number }[],
  hard: number,
  mode: QuotaMode,
): DecisionRecord[] {
  let used = 0;
  return steps.map(({ delta, goes }) => {
    used = Math.max(0, used - goes);
    const one = write(used, Math.max(delta, -used), { hard, mode });
    if (wasAdmitted(one)) used += one.deltaBytes;
    return one;
  });
}

describe('a replay', () => {
  it('with the limit that was in force and enforced gives exactly what was refused', () => {
    fc.assert(
      fc.property(life, hardLimit, fc.boolean(), (steps, hard, own) => {
        const writes = record(steps, hard, 'enforce');
        const truth = writes.map((one) => !wasAdmitted(one));
        expect(refused(own ? null : hard, writes)).toEqual(truth);
      }),
    );
  });

  it('with a limit that all of it fits refuses nothing', () => {
    fc.assert(
      fc.property(life, hardLimit, (steps, hard) => {
        const writes = record(steps, hard, 'shadow');
        expect(refused(60 * 60 + 1, writes)).not.toContain(true);
      }),
    );
  });

  it('of writes in shadow is exact while nothing goes', () => {
    fc.assert(
      fc.property(life, hardLimit, (steps, hard) => {
        const growing = steps.map(({ delta }) => ({ delta: Math.abs(delta), goes: 0 }));
        const enforced = record(growing, hard, 'enforce').map((one) => !wasAdmitted(one));
        expect(refused(hard, record(growing, 1_000_000, 'shadow'))).toEqual(enforced);
      }),
    );
  });

  it('never refuses a write that fits the limit though all that was in truth were there', () => {
    fc.assert(
      fc.property(life, hardLimit, (steps, hard) => {
        const writes = record(steps, 1_000_000, 'shadow');
        const answers = refused(hard, writes);
        writes.forEach((one, i) => {
          if ((one.usedBeforeBytes ?? 0) + one.deltaBytes <= hard) expect(answers[i]).toBe(false);
        });
      }),
    );
  });
});
