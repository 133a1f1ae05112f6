import { QuotaDecision } from '../core/decision';
import { quotaHeaders } from './headers';

const MB = 1_048_576;

function headers(usedBytes: number, quotaBytes = 500 * MB, decision = QuotaDecision.ALLOW) {
  const numbers = { usedBytes, quotaBytes, hardBytes: quotaBytes };
  return quotaHeaders({ mode: 'enforce', decision, numbers });
}

describe('quotaHeaders', () => {
  it('is as the contract shows it', () => {
    expect(headers(387.5 * MB)).toEqual({
      'X-Cache-Quota-Limit': '500',
      'X-Cache-Quota-Used': '387.5',
      'X-Cache-Quota-Remaining': '112.5',
      'X-Cache-Quota-Percent': '77.5',
      'X-Cache-Quota-Status': 'ok',
      'X-Cache-Quota-Mode': 'enforce',
    });
  });

  it('has at most six decimals of MB, two of percent, and no exponent', () => {
    expect(headers(1)).toMatchObject({
      'X-Cache-Quota-Used': '0.000001',
      'X-Cache-Quota-Remaining': '499.999999',
      'X-Cache-Quota-Percent': '0',
    });
    expect(headers(100 * MB)['X-Cache-Quota-Used']).toBe('100');
    expect(headers(MB / 3)['X-Cache-Quota-Percent']).toBe('0.07');
  });

  it('leaves nothing below zero', () => {
    expect(headers(2 * MB, MB, QuotaDecision.REJECT)).toMatchObject({
      'X-Cache-Quota-Remaining': '0',
      'X-Cache-Quota-Percent': '200',
      'X-Cache-Quota-Status': 'exceeded',
    });
    expect(headers(0, 0)['X-Cache-Quota-Percent']).toBe('0');
    expect(headers(1, 0)['X-Cache-Quota-Percent']).toBe('100');
  });

  it('says nothing when the quota is off', () => {
    const numbers = { usedBytes: 0, quotaBytes: 1, hardBytes: 1 };
    expect(quotaHeaders({ mode: 'off', decision: QuotaDecision.ALLOW, numbers })).toEqual({});
    const none = { mode: 'enforce', decision: QuotaDecision.ALLOW, numbers: null } as const;
    expect(quotaHeaders(none)).toEqual({});
  });
});
