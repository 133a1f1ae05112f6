import fc from 'fast-check';
import { AgeHistogram } from './age-histogram';

function histogramOf(entries: Iterable<readonly [number, number]>): AgeHistogram {
  const histogram = new AgeHistogram();
  for (const [written, bytes] of entries) histogram.add(written, bytes);
  return histogram;
}

it('tells to the write what fits, as long as the writes are few', () => {
  const histogram = histogramOf([
    [1_000, 5],
    [7, 10],
    [2_000_000_000_000, 1],
    [1_001, 4],
  ]);
  const told = [0, 9, 10, 14, 15, 19, 20, 1_000].map((bytes) => histogram.writtenWithin(bytes));
  expect(told).toEqual([...[0, 0, 7, 7, 1_000, 1_001, 2_000_000_000_000, 2_000_000_000_000]]);
  expect(new AgeHistogram().writtenWithin(5)).toBe(0);
});

it('never takes more, and not much less, however many writes there were', () => {
  const start = 1_700_000_000_000;
  const writes = Array.from({ length: 100_000 }, (_, n) => [start + n * 13, 1] as const);
  const histogram = histogramOf(writes);
  fc.assert(
    fc.property(fc.nat(100_000), (bytes) => {
      const until = histogram.writtenWithin(bytes);
      const taken = writes.filter(([written]) => written <= until).length;
      expect(taken).toBeLessThanOrEqual(bytes);
      expect(taken).toBeGreaterThanOrEqual(bytes - 100);
    }),
    { numRuns: 50 },
  );
});
