import { FAULTS } from './faults';
import { parseOptions, UsageError } from './options';
import { planFaults } from './plan';

const KINDS = Object.keys(FAULTS);

describe('the plan of faults', () => {
  it('depends on the seed alone', () => {
    const plan = (seed: number, seconds = 60) =>
      planFaults(seed, { store: 'redis', seconds, kinds: null });
    expect(plan(1)).toEqual(plan(1));
    expect(plan(1)).not.toEqual(plan(2));
    // A longer run goes on where the shorter one ended.
    expect(plan(1, 120).slice(0, plan(1).length)).toEqual(plan(1));
  });

  it('has every kind that the store allows, and no other', () => {
    const kinds = (store: 'redis' | 'postgres') =>
      new Set(planFaults(3, { store, seconds: 120, kinds: null }).map(({ kind }) => kind));
    expect([...kinds('postgres')].toSorted()).toEqual(KINDS.toSorted());
    const lossless = KINDS.filter((kind) => kind !== 'redis-flushall' && kind !== 'redis-empty');
    expect([...kinds('redis')].toSorted()).toEqual(lossless.toSorted());
  });

  it('keeps within the bounds of each kind', () => {
    for (const fault of planFaults(4, { store: 'postgres', seconds: 300, kinds: null })) {
      const [min, max] = FAULTS[fault.kind]!.ms;
      expect(fault.ms).toBeGreaterThanOrEqual(min);
      expect(fault.ms).toBeLessThanOrEqual(max);
      expect(fault.atMs).toBeLessThan(300_000);
    }
  });

  it('is empty without kinds', () => {
    expect(planFaults(1, { store: 'redis', seconds: 60, kinds: [] })).toEqual([]);
  });
});

describe('the options', () => {
  it('reads them', () => {
    const args = ['--seconds', '30', '--seed', '5', '--store', 'postgres', '--faults', 'app-kill'];
    expect(parseOptions(args, KINDS)).toMatchObject({
      ...{ seconds: 30, seed: 5, stores: ['postgres'], faults: ['app-kill'], slowestMs: 0 },
    });
    expect(parseOptions([], KINDS)).toMatchObject({ stores: ['redis', 'postgres'], faults: null });
    expect(parseOptions(['--help'], KINDS)).toBe('help');
  });

  it.each([
    [['--seconds', '0']],
    [['--seconds', '1e3']],
    [['--seed', '-1']],
    [['--seed', '4294967296']],
    [['--store', 'disk']],
    [['--faults', 'earthquake']],
    [['--speed', '9']],
    [['more']],
  ])('refuses %j', (args) => {
    expect(() => parseOptions(args, KINDS)).toThrow(UsageError);
  });
});
