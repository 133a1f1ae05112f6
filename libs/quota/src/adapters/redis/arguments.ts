import { Buffer } from 'node:buffer';
import { InvalidWriteError, isByteCount, parseKey, type StoredValue } from '../../core';

/** The scripts take text only; the empty text is "absent". All is checked here first, and there again. */
const WHOLE = 'a whole number, 0 to 2^53 − 1';
const MAX_ID_BYTES = 128;
const MAX_META_BYTES = 1_024;

/** @throws InvalidWriteError unless the value is a whole number, 0 to 2^53 − 1. */
export function whole(value: unknown, where: string): string {
  if (!isByteCount(value)) throw invalid(where, WHOLE);
  return String(value);
}

export function optionalWhole(value: unknown, where: string): string {
  return value === undefined ? '' : whole(value, where);
}

/** @throws InvalidWriteError unless the value is a whole number of ms, at least 1. */
export function duration(value: unknown, where: string): string {
  if (!isByteCount(value) || value < 1) throw invalid(where, 'whole milliseconds, at least 1');
  return String(value);
}

export function optionalDuration(value: unknown, where: string): string {
  return value === undefined ? '' : duration(value, where);
}

export function flag(value: boolean): string {
  return value ? '1' : '0';
}

/** @throws InvalidWriteError unless it is a text of 1 to 128 bytes. */
export function id(value: unknown, where = 'id'): string {
  const fits =
    typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= MAX_ID_BYTES;
  if (!fits) throw invalid(where, `1 to ${String(MAX_ID_BYTES)} bytes`);
  return value;
}

/** "Has a key" and the key. @throws InvalidWriteError when the key is not one. */
export function keyed(key: string | undefined): [string, string] {
  return key === undefined ? ['0', ''] : ['1', parseKey(key)];
}

/** Meta and body. @throws InvalidWriteError when the meta is longer than 1,024 bytes. */
export function valueParts(value: StoredValue): [string, Buffer] {
  if (!Buffer.isBuffer(value.body)) throw invalid('value', 'a Buffer');
  if (Buffer.byteLength(value.meta) > MAX_META_BYTES) {
    throw invalid('meta', `at most ${String(MAX_META_BYTES)} bytes`);
  }
  return [value.meta, value.body];
}

export function invalid(where: string, allowed: string): InvalidWriteError {
  return new InvalidWriteError(
    { where, allowed },
    `"${where}" is not usable. Allowed: ${allowed}.`,
  );
}
