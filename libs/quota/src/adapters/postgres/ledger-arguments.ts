import { Buffer } from 'node:buffer';
import { InvalidWriteError, isByteCount, parseKey } from '../../core';

const MAX_ID_BYTES = 128;

/** Checked here before any I/O, and once more by the functions in the database. */
export function whole(value: unknown, where: string): number {
  if (!isByteCount(value)) throw invalid(where, 'a whole number, 0 to 2^53 − 1');
  return value;
}

export function optionalWhole(value: unknown, where: string): number | null {
  return value === undefined ? null : whole(value, where);
}

/** @throws InvalidWriteError unless it is whole ms, at least 1, that end as real deadlines do. */
export function duration(value: unknown, where: string): number {
  if (isByteCount(value) && value >= 1 && value <= Number.MAX_SAFE_INTEGER / 4) return value;
  throw invalid(where, 'whole milliseconds, 1 to 2^51 − 1');
}

export function optionalDuration(value: unknown, where: string): number | null {
  return value === undefined ? null : duration(value, where);
}

/** @throws InvalidWriteError unless PostgreSQL can keep it as the text it is. */
export function id(value: unknown): string {
  const fits =
    typeof value === 'string' &&
    value !== '' &&
    Buffer.byteLength(value) <= MAX_ID_BYTES &&
    isPlain(value);
  if (!fits) throw invalid('id', `1 to ${String(MAX_ID_BYTES)} bytes of UTF-8 without NUL`);
  return value;
}

/** A generation comes back from the caller; one that cannot be ours bounces like any other. */
export function generationOf(value: string): string {
  return isPlain(value) && Buffer.byteLength(value) <= MAX_ID_BYTES ? value : '';
}

/** Keys are bytes in the database, since its text cannot hold NUL. @throws InvalidWriteError */
export function keyBytes(key: string): Buffer {
  return Buffer.from(parseKey(key));
}

export function optionalKey(key: string | undefined): Buffer | null {
  return key === undefined ? null : keyBytes(key);
}

export function invalid(where: string, allowed: string): InvalidWriteError {
  return new InvalidWriteError(
    { where, allowed },
    `"${where}" is not usable. Allowed: ${allowed}.`,
  );
}

function isPlain(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}
