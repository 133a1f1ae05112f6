import { z } from 'zod';
import { QuotaDecision, type Usage } from '../../core';
import { exactNumber } from './bigint';

const count = z.int().min(0);

/** As the functions number them. */
const DECISIONS = [QuotaDecision.ALLOW, QuotaDecision.WARN, QuotaDecision.REJECT] as const;
const decision = z.union([z.literal(0), z.literal(1), z.literal(2)]).transform((n) => DECISIONS[n]);

const reply = z.object({
  code: z.string(),
  committed: count,
  reserved: count,
  /** Sums that would have gone below zero. */
  defects: count,
});

const verdict = reply.extend({
  stamp: count.optional(),
  usedAfter: count.optional(),
  retryAfter: count.nullish(),
  decision: decision.optional(),
  generation: z.string().optional(),
});

/** The reply of each function: what it adds to the code and the sums. */
export const replies = {
  reserve: verdict,
  check: verdict,
  commit: reply.extend({ replaced: z.boolean().optional(), expiresAt: count.nullish() }),
  release: reply,
  remove: reply.extend({ removed: z.boolean().optional(), freed: count.optional() }),
  refund: reply.extend({ freed: count.optional() }),
  read: reply,
  sweep: reply.extend({ expired: count, lapsed: count, freed: z.int() }),
  drop: reply,
  recount: reply.extend({ drift: z.int().optional() }),
  correct: reply.extend({ applied: count, delta: z.int() }),
} as const;

export type LedgerOperation = keyof typeof replies;
export type ReplyOf<K extends LedgerOperation> = z.output<(typeof replies)[K]>;

export function usageOf(found: { committed: number; reserved: number }): Usage {
  return {
    committedBytes: found.committed,
    reservedBytes: found.reserved,
    unmeteredBytes: 0,
  };
}

/** A field that this code always has. @throws Error where it has not. */
export function must<T>(value: T | undefined, field: string): T {
  if (value === undefined) throw new Error(`The ledger's reply has no ${field}.`);
  return value;
}

const bigint = z.unknown().transform((value) => exactNumber(value));

export const tenantRow = z.object({ tenant_id: z.string(), due: z.boolean() });

export const view = z.object({
  key: z.instanceof(Buffer).transform((bytes) => bytes.toString()),
  bytes: bigint.nullable(),
  expires_at: bigint.nullable(),
  version: bigint.nullable(),
  live: z.boolean(),
  pending: z.boolean(),
});
