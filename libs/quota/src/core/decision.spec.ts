import fc from 'fast-check';
import { QuotaDecision, decide } from './decision';

const limits = { quotaBytes: 100, hardBytes: 110 };

describe('decide', () => {
  it.each([
    [0, QuotaDecision.ALLOW],
    [99, QuotaDecision.ALLOW],
    [100, QuotaDecision.ALLOW],
    [101, QuotaDecision.WARN],
    [110, QuotaDecision.WARN],
    [111, QuotaDecision.REJECT],
  ])('a growing write that ends at %p of 100 + 10: %s', (usedAfter, decision) => {
    expect(decide(usedAfter, true, limits)).toBe(decision);
  });

  it('never refuses a write that does not grow', () => {
    expect(decide(1_000, false, limits)).toBe(QuotaDecision.WARN);
    expect(decide(100, false, limits)).toBe(QuotaDecision.ALLOW);
  });

  it('knows no WARN without overage, except for what does not grow', () => {
    const strict = { quotaBytes: 100, hardBytes: 100 };
    expect(decide(100, true, strict)).toBe(QuotaDecision.ALLOW);
    expect(decide(101, true, strict)).toBe(QuotaDecision.REJECT);
    expect(decide(101, false, strict)).toBe(QuotaDecision.WARN);
  });

  it('allows nothing but zero bytes under a quota of zero', () => {
    const none = { quotaBytes: 0, hardBytes: 0 };
    expect(decide(0, true, none)).toBe(QuotaDecision.ALLOW);
    expect(decide(1, true, none)).toBe(QuotaDecision.REJECT);
  });

  it('rejects exactly what grows beyond the hard limit, and is never laxer for more', () => {
    const order = [QuotaDecision.ALLOW, QuotaDecision.WARN, QuotaDecision.REJECT];
    fc.assert(
      fc.property(
        ...[fc.maxSafeNat(), fc.maxSafeNat(), fc.maxSafeNat()],
        fc.nat(1_000),
        fc.boolean(),
        (used, quotaBytes, overage, more, grows) => {
          const hardBytes = Math.min(Number.MAX_SAFE_INTEGER, quotaBytes + overage);
          const one = decide(used, grows, { quotaBytes, hardBytes });
          const two = decide(used + more, grows, { quotaBytes, hardBytes });
          expect(one === QuotaDecision.REJECT).toBe(grows && used > hardBytes);
          expect(one === QuotaDecision.ALLOW).toBe(used <= quotaBytes);
          expect(order.indexOf(two)).toBeGreaterThanOrEqual(order.indexOf(one));
        },
      ),
    );
  });
});
