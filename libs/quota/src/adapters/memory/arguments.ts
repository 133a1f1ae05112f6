import {
  InvalidWriteError,
  MAX_BYTES,
  isByteCount,
  parseTenantId,
  type QuotaLimits,
  type StoredValue,
} from '../../core';
import { parseKey, parseSize } from '../../core/write';

/** Largest description of a value, in bytes of UTF-8; see StoredValue. */
const MAX_META_BYTES = 1_024;

/** The parts of a request that are checked before anything is touched, each only where present. */
interface Checked {
  readonly tenant: string;
  readonly id?: string;
  readonly key?: string;
  readonly bytes?: number;
  readonly limits?: QuotaLimits;
  readonly stamp?: number;
  readonly version?: number;
  readonly holdMs?: number;
  readonly ttlMs?: number;
  readonly value?: StoredValue;
}

/** @throws InvalidTenantError, InvalidWriteError for what comes from a request; RangeError for the rest. */
export function checkRequest(request: Checked): void {
  parseTenantId(request.tenant);
  const { id, key, bytes, limits, stamp, version, holdMs, ttlMs, value } = request;
  if (key !== undefined) parseKey(key);
  if ('bytes' in request) parseSize(bytes);
  if (id === '') throw new RangeError('An id must not be empty.');
  if (limits) checkLimits(limits);
  if ('stamp' in request) checkCount('stamp', stamp);
  if (version !== undefined) checkCount('version', version);
  if ('holdMs' in request) checkDuration('holdMs', holdMs);
  if (ttlMs !== undefined) checkDuration('ttlMs', ttlMs);
  if (value) checkValue(value, key);
}

export function checkCount(name: string, value: unknown, least = 0): void {
  if (isByteCount(value) && value >= least) return;
  const range = `${String(least)} to ${String(MAX_BYTES)}`;
  throw new RangeError(`${name} must be a whole number, ${range}; got ${String(value)}.`);
}

function checkDuration(name: string, ms: unknown): void {
  checkCount(name, ms, 1);
  if (Number(ms) > MAX_BYTES / 2) throw new RangeError(`${name} reaches beyond the exact numbers.`);
}

function checkLimits({ quotaBytes, hardBytes }: QuotaLimits): void {
  checkCount('quotaBytes', quotaBytes);
  checkCount('hardBytes', hardBytes, quotaBytes);
}

function checkValue({ meta }: StoredValue, key: string | undefined): void {
  if (key === undefined) throw invalid('key', 'a key for every stored value');
  if (Buffer.byteLength(meta) > MAX_META_BYTES) {
    throw invalid('value', `a description of at most ${String(MAX_META_BYTES)} bytes of UTF-8`);
  }
}

function invalid(where: string, allowed: string): InvalidWriteError {
  return new InvalidWriteError(
    { where, allowed },
    `The ${where} is not usable: allowed is ${allowed}.`,
  );
}

/** A sum would leave the numbers that count exactly. Thrown before anything is written. */
export function overflow(operation: string): RangeError {
  return new RangeError(
    `This ${operation} would take the tenant beyond ${String(MAX_BYTES)} bytes; nothing was changed.`,
  );
}
