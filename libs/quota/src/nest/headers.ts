import type { AbstractHttpAdapter } from '@nestjs/core';
import { formatMb } from '../core/bytes';
import { QuotaDecision } from '../core/decision';
import type { QuotaMode } from '../core/quota';
import type { QuotaNumbers } from '../core/verdict';

const STATUS = {
  [QuotaDecision.ALLOW]: 'ok',
  [QuotaDecision.WARN]: 'warning',
  [QuotaDecision.REJECT]: 'exceeded',
} as const;

/** What the headers are made of. */
export interface HeaderInput {
  readonly mode: QuotaMode;
  readonly decision: QuotaDecision;
  readonly numbers: QuotaNumbers | null;
}

/**
 * The X-Cache-Quota-* headers; none when the quota is off. With `rateLimit`, also the two fields of
 * draft-ietf-httpapi-ratelimit-headers-11.
 */
export function quotaHeaders(input: HeaderInput, rateLimit = false): Record<string, string> {
  const { mode, decision, numbers } = input;
  if (mode === 'off' || numbers === null) return {};
  const { quotaBytes, usedBytes } = numbers;
  const remaining = Math.max(0, quotaBytes - usedBytes);
  const headers: Record<string, string> = {
    'X-Cache-Quota-Limit': formatMb(quotaBytes),
    'X-Cache-Quota-Used': formatMb(usedBytes),
    'X-Cache-Quota-Remaining': formatMb(remaining),
    'X-Cache-Quota-Percent': formatPercent(usedBytes, quotaBytes),
    'X-Cache-Quota-Status': STATUS[decision],
    'X-Cache-Quota-Mode': mode,
  };
  if (rateLimit) {
    headers['RateLimit-Policy'] = `"cache-storage";q=${String(quotaBytes)};qu="content-bytes"`;
    headers['RateLimit'] = `"cache-storage";r=${String(remaining)}`;
  }
  return headers;
}

/** Puts headers on a response of either framework. */
export function setHeaders(
  adapter: AbstractHttpAdapter,
  response: unknown,
  headers: Record<string, string>,
): void {
  for (const name in headers) adapter.setHeader(response, name, headers[name] ?? '');
}

function formatPercent(used: number, quota: number): string {
  if (quota === 0) return used === 0 ? '0' : '100';
  return String(Number(((used / quota) * 100).toFixed(2)));
}
