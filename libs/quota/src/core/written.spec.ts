import { QuotaDecision } from './decision';
import { changeOf } from './written';

const usage = (committedBytes: number, reservedBytes = 0) => ({
  ...{ committedBytes, reservedBytes, unmeteredBytes: 0 },
});
const reserved = { outcome: 'reserved', decision: QuotaDecision.ALLOW, generation: 'g' } as const;

it('of a refusal, the ledger says both', () => {
  const reply = { outcome: 'rejected', usage: usage(80, 10), usedAfterBytes: 120 } as const;
  expect(changeOf(50, reply)).toEqual({ usedBeforeBytes: 90, deltaBytes: 30 });
});

it('of an overwrite that grows, by what the hold added', () => {
  const reply = { ...reserved, usage: usage(80, 30), usedAfterBytes: 110, grownBytes: 30 };
  expect(changeOf(50, reply)).toEqual({ usedBeforeBytes: 80, deltaBytes: 30 });
});

it('of an overwrite that shrinks', () => {
  const reply = { ...reserved, usage: usage(80), usedAfterBytes: 50, grownBytes: 0 };
  expect(changeOf(20, reply)).toEqual({ usedBeforeBytes: 80, deltaBytes: -30 });
});

it('takes the whole size where the store does not say, and no more than is used', () => {
  const reply = { ...reserved, usage: usage(0, 30), usedAfterBytes: 30 };
  expect(changeOf(20, reply)).toEqual({ usedBeforeBytes: 10, deltaBytes: 20 });
  expect(changeOf(40, reply)).toEqual({ usedBeforeBytes: 0, deltaBytes: 30 });
  expect(changeOf(20, { ...reply, usage: usage(80), usedAfterBytes: 50 })).toEqual({
    ...{ usedBeforeBytes: 80, deltaBytes: -30 },
  });
});
