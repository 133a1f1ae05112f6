import { BYTES_PER_MB, MAX_BYTES, isByteCount } from './bytes';
import { InvalidWriteError } from './errors';
import { parseTenantId } from './tenant';

/** The longest key, in bytes of UTF-8. */
export const MAX_KEY_BYTES = 512;

/** The longest life of an entry: ten years in seconds, so that no expiry leaves the exact numbers. */
export const MAX_TTL_SECONDS = 315_360_000;

/** A write to decide on. */
export interface QuotaWrite {
  readonly tenant: string;
  /** 1 to 512 bytes of UTF-8. Absent: a charge without a key (counters mode). */
  readonly key?: string;
  /** Whole bytes that will be stored. */
  readonly bytes: number;
  /** The entry's life in seconds; absent: it does not expire. */
  readonly ttlSeconds?: number;
}

/**
 * Checks a write before any I/O.
 *
 * @throws InvalidTenantError, InvalidWriteError with what was wrong, where, and what is allowed.
 */
export function parseWrite(write: QuotaWrite): QuotaWrite {
  parseTenantId(write.tenant);
  if (write.key !== undefined) parseKey(write.key);
  if (write.ttlSeconds !== undefined) parseTtl(write.ttlSeconds);
  parseSize(write.bytes);
  return write;
}

/** @throws InvalidWriteError unless the value is a whole number of bytes, 0 to 2^53 − 1. */
export function parseSize(value: unknown): number {
  if (isByteCount(value)) return value;
  const allowed = `a whole number of bytes, 0 to ${String(MAX_BYTES)}`;
  throw invalid('size', describe(value), allowed);
}

/**
 * Bytes from a declared number of MB, fractions allowed as long as they are whole bytes when rounded up.
 *
 * @throws InvalidWriteError unless the value is a finite number of MB from 0 to 2^53 − 1 bytes.
 */
export function parseSizeMb(value: unknown, where: string): number {
  const bytes = typeof value === 'number' ? Math.ceil(value * BYTES_PER_MB) : Number.NaN;
  if (isByteCount(bytes) && typeof value === 'number' && value >= 0) return bytes;
  const allowed = `a number of MB, 0 to ${String(Math.floor(MAX_BYTES / BYTES_PER_MB))}`;
  throw invalid(where, describe(value), allowed);
}

/** @throws InvalidWriteError unless the value is a string of 1 to 512 bytes of well-formed UTF-8. */
export function parseKey(value: unknown): string {
  const allowed = `1 to ${String(MAX_KEY_BYTES)} bytes of UTF-8`;
  if (typeof value !== 'string') throw invalid('key', describe(value), allowed);
  const bytes = Buffer.byteLength(value);
  if (bytes < 1 || bytes > MAX_KEY_BYTES) {
    throw invalid('key', `a key of ${String(bytes)} bytes`, allowed);
  }
  if (!value.isWellFormed()) throw invalid('key', 'a key with a lone surrogate', allowed);
  return value;
}

/** @throws InvalidWriteError unless the value is a whole number of seconds, 1 to ten years. */
export function parseTtl(value: unknown): number {
  if (
    typeof value === 'number' &&
    Number.isInteger(value) &&
    value >= 1 &&
    value <= MAX_TTL_SECONDS
  ) {
    return value;
  }
  throw invalid(
    'ttl',
    describe(value),
    `a whole number of seconds, 1 to ${String(MAX_TTL_SECONDS)}`,
  );
}

function invalid(where: string, got: string, allowed: string): InvalidWriteError {
  return new InvalidWriteError(
    { where, allowed },
    `The ${where} of the write is not usable: got ${got}. Allowed: ${allowed}.`,
  );
}

/** A short, harmless name of a value from outside: its text when it is a number, else its kind. */
function describe(value: unknown): string {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return `the text ${JSON.stringify(value.slice(0, 40))}`;
  if (value === null || value === undefined) return 'nothing';
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}
