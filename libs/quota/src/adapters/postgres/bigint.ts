/**
 * pg hands bigint and numeric over as text, since they may exceed what a number holds.
 *
 * @throws RangeError unless the value is a whole number up to 2^53 − 1 in size.
 */
export function exactNumber(value: unknown): number {
  const number =
    typeof value === 'string' && /^-?\d{1,16}$/.test(value) ? Number(value) : (value as number);
  if (!Number.isSafeInteger(number)) {
    throw new RangeError('A number in the database is beyond 2^53 − 1, or none.');
  }
  return number;
}

/** For bigint columns of bytes and counts. */
export const bigintColumn = {
  to: (value: unknown): unknown => value,
  from: (value: unknown): number | null => (value === null ? null : exactNumber(value)),
};

/** For numeric columns that are shown, not counted with. */
export const decimalColumn = {
  to: (value: unknown): unknown => value,
  from: (value: unknown): number | null => (value === null ? null : Number(value)),
};
