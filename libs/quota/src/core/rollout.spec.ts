import fc from 'fast-check';
import { modeReason, resolveMode, rolloutBucket, type Rollout } from './rollout';

const on: Rollout = { enabled: true, logOnly: false, percent: 100, tenants: new Set() };
const follows = { tenant: 't', mode: null };

describe('rolloutBucket', () => {
  it('is from 0 to 99.99 in steps of a hundredth, and always the same', () => {
    fc.assert(
      fc.property(fc.string(), (tenant) => {
        const bucket = rolloutBucket(tenant);
        expect(bucket).toBeGreaterThanOrEqual(0);
        expect(bucket).toBeLessThan(100);
        expect(Math.round(bucket * 100)).toBeCloseTo(bucket * 100, 6);
        expect(rolloutBucket(tenant)).toBe(bucket);
      }),
    );
  });

  it('keeps the places it has given: another hash would turn the rollout over', () => {
    expect(rolloutBucket('tenant-1')).toBe(70.34);
    expect(rolloutBucket('acme')).toBe(49.23);
  });

  it('is spread evenly, also over names that count up', () => {
    const tenths = Array.from({ length: 10 }, () => 0);
    for (let i = 0; i < 20_000; i++) tenths[Math.floor(rolloutBucket(`tenant-${i}`) / 10)]! += 1;
    // Six standard deviations of a binomial with n = 20,000 and p = 0.1.
    for (const count of tenths) expect(Math.abs(count - 2_000)).toBeLessThan(255);
  });
});

describe('resolveMode', () => {
  it('is off for everyone while disabled, whatever else is set', () => {
    const off = { ...on, enabled: false, tenants: new Set(['t']) };
    expect(resolveMode(off, follows)).toBe('off');
    expect(resolveMode(off, { tenant: 't', mode: 'enforce' })).toBe('off');
  });

  it.each(['off', 'shadow', 'enforce'] as const)("takes a tenant's own mode: %s", (mode) => {
    for (const rollout of [on, { ...on, logOnly: true }, { ...on, percent: 0 }]) {
      expect(resolveMode(rollout, { tenant: 't', mode })).toBe(mode);
    }
  });

  it("puts a tenant's own mode above being named", () => {
    const named = { ...on, tenants: new Set(['t']) };
    expect(resolveMode(named, { tenant: 't', mode: 'shadow' })).toBe('shadow');
  });

  it('enforces the named, also when only logging and at zero per cent', () => {
    const named = { ...on, logOnly: true, percent: 0, tenants: new Set(['t']) };
    expect(resolveMode(named, follows)).toBe('enforce');
    expect(resolveMode(named, { tenant: 'other', mode: null })).toBe('shadow');
  });

  it('watches everyone else when only logging', () => {
    expect(resolveMode({ ...on, logOnly: true }, follows)).toBe('shadow');
  });

  it('enforces all at 100 per cent and nobody at 0', () => {
    fc.assert(
      fc.property(fc.string(), (tenant) => {
        expect(resolveMode({ ...on, percent: 100 }, { tenant, mode: null })).toBe('enforce');
        expect(resolveMode({ ...on, percent: 0 }, { tenant, mode: null })).toBe('shadow');
      }),
    );
  });

  it('only adds tenants as the percentage rises', () => {
    // Not fc.double: nearly all it makes is next to zero, where hardly anyone is enforced.
    const percent = fc.integer({ min: 0, max: 10_000 }).map((hundredths) => hundredths / 100);
    fc.assert(
      fc.property(fc.string(), percent, percent, (tenant, a, b) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        const quota = { tenant, mode: null };
        if (resolveMode({ ...on, percent: low }, quota) !== 'enforce') return;
        expect(resolveMode({ ...on, percent: high }, quota)).toBe('enforce');
      }),
    );
  });

  it.each([1, 10, 25, 50, 90])('enforces about %p per cent of many', (percent) => {
    const count = 20_000;
    let enforced = 0;
    for (let i = 0; i < count; i++) {
      const quota = { tenant: `tenant-${i}`, mode: null };
      if (resolveMode({ ...on, percent }, quota) === 'enforce') enforced++;
    }
    const share = percent / 100;
    const deviation = Math.sqrt(count * share * (1 - share));
    expect(Math.abs(enforced - count * share)).toBeLessThan(6 * deviation);
  });
});

describe('modeReason', () => {
  const named = new Set(['t']);
  it.each([
    ['off', { enabled: false, tenants: named }, 'enforce'],
    ['tenant_mode', { tenants: named, logOnly: true }, 'shadow'],
    ['named', { tenants: named, logOnly: true, percent: 0 }, null],
    ['log_only', { logOnly: true }, null],
    ['everyone', {}, null],
    ['within_percent', { percent: 49.24 }, null],
    ['beyond_percent', { percent: 49.23 }, null],
  ] as const)('is %s', (reason, change, mode) => {
    const tenant = reason.endsWith('percent') ? 'acme' : 't';
    expect(modeReason({ ...on, ...change }, { tenant, mode })).toBe(reason);
  });
});
