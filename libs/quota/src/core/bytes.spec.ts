import fc from 'fast-check';
import { BYTES_PER_MB, MAX_BYTES, bytesToMb, formatMb, isByteCount, mbToBytes } from './bytes';

const bytes = fc.maxSafeNat();

describe('isByteCount', () => {
  it.each([0, 1, BYTES_PER_MB, MAX_BYTES])('takes %p', (value) => {
    expect(isByteCount(value)).toBe(true);
  });

  it.each([
    -1,
    -0,
    0.5,
    MAX_BYTES + 1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    '5',
    '',
    true,
    null,
    undefined,
    [],
    [5],
    {},
    5n,
    new Number(5),
  ])('refuses %p', (value) => {
    expect(isByteCount(value)).toBe(false);
  });

  it('takes every safe natural number and no other number', () => {
    fc.assert(fc.property(bytes, (value) => isByteCount(value)));
    fc.assert(
      fc.property(
        fc.double(),
        (value) =>
          isByteCount(value) ===
          (Number.isSafeInteger(value) && value >= 0 && !Object.is(value, -0)),
      ),
    );
  });
});

describe('MB', () => {
  it('is 1,048,576 bytes', () => {
    expect(mbToBytes(1)).toBe(1_048_576);
    expect(mbToBytes(500)).toBe(524_288_000);
  });

  it('comes back from bytes as it went', () => {
    fc.assert(fc.property(fc.nat(2 ** 31 - 1), (mb) => bytesToMb(mbToBytes(mb)) === mb));
  });

  it.each([
    [0, '0'],
    [BYTES_PER_MB, '1'],
    [387.5 * BYTES_PER_MB, '387.5'],
    [100 * BYTES_PER_MB, '100'],
    [2_000 * BYTES_PER_MB, '2000'],
    [1, '0.000001'],
    [BYTES_PER_MB + 1, '1.000001'],
    [BYTES_PER_MB / 4, '0.25'],
    [MAX_BYTES, '8589934591.999999'],
  ])('of %p bytes is written %p', (value, text) => {
    expect(formatMb(value)).toBe(text);
  });

  it('is always a plain decimal of at most six places, without trailing zeros', () => {
    fc.assert(
      fc.property(bytes, (value) => {
        const text = formatMb(value);
        expect(text).toMatch(/^(0|[1-9]\d*)(\.\d{0,5}[1-9])?$/);
        expect(Number(text)).toBe(bytesToMb(value));
      }),
    );
  });

  it('is rounded to the nearest millionth, less than a byte away', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 40), (value) => {
        expect(Math.abs(bytesToMb(value) * BYTES_PER_MB - value)).toBeLessThan(1);
      }),
    );
  });
});
