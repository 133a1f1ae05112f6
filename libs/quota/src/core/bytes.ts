/** Bytes in one MB. MB appears only in settings, tables, headers and JSON that name it. */
export const BYTES_PER_MB = 1_048_576;

/**
 * The largest size, sum or limit the library accepts: 2^53 − 1 bytes. Beyond it neither JavaScript
 * nor Redis' Lua counts single bytes any more.
 */
export const MAX_BYTES = Number.MAX_SAFE_INTEGER;

/** True for a whole, non-negative number of bytes up to {@link MAX_BYTES}; false for anything else. */
export function isByteCount(value: unknown): value is number {
  return (
    typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && !Object.is(value, -0)
  );
}

/** Converts whole MB, as kept in tables and settings, to bytes. */
export function mbToBytes(mb: number): number {
  return mb * BYTES_PER_MB;
}

/** Bytes as a plain decimal number of MB with at most six decimals, `387.5`; rounded to nearest. */
export function bytesToMb(bytes: number): number {
  return Number((bytes / BYTES_PER_MB).toFixed(6));
}

/** {@link bytesToMb} as text for headers and tables; never in exponent form. */
export function formatMb(bytes: number): string {
  const mb = bytes / BYTES_PER_MB;
  if (Number.isInteger(mb)) return String(mb);
  const text = mb.toFixed(6);
  let end = text.length;
  while (text[end - 1] === '0') end -= 1;
  return text.slice(0, text[end - 1] === '.' ? end - 1 : end);
}
