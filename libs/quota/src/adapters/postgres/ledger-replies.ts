import { Buffer } from 'node:buffer';
import { z } from 'zod';
import { QuotaDecision, type FoldItem, type Usage } from '../../core';
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

/** As the functions write a key: hex of its bytes. */
const hexKey = z
  .string()
  .regex(/^(?:[0-9a-f]{2}){1,512}$/)
  .transform((hex) => Buffer.from(hex, 'hex').toString());

const foldItem = z
  .tuple([hexKey, count.nullable(), count.nullable(), count])
  .transform(([key, bytes, ttlMs, version]): FoldItem => ({
    key,
    version,
    ...(bytes === null ? {} : { bytes }),
    ...(ttlMs === null ? {} : { ttlMs }),
  }));

const batch = z.object({
  number: count,
  generation: z.string(),
  bytes: count,
  unkeyed: count,
  refunds: count,
  items: z.array(foldItem),
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
  sweep: reply.extend({
    expired: count,
    overdue: count,
    lapsed: z.boolean(),
    freed: z.int(),
    unsettled: count,
  }),
  settled: reply.extend({ lowered: count }),
  let_go: reply.extend({ gone: count }),
  drop: reply,
  recount: reply.extend({ drift: z.int().optional() }),
  correct: reply.extend({ applied: count, delta: z.int() }),
  grant: reply.extend({
    generation: z.string().optional(),
    seq: count.optional(),
    granted: count.optional(),
    drawn: count.optional(),
  }),
  lower: reply,
  fold_begin: reply.extend({ batch: batch.optional() }),
  fold_end: reply,
  dropped: reply,
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

export const lowerableRow = z
  .object({ tenant_id: z.string(), granted: bigint, chunk: bigint })
  .transform((row) => ({
    tenant: row.tenant_id,
    grantedBytes: row.granted,
    chunkBytes: row.chunk,
  }));

export const standingRow = z.object({
  generation: z.string(),
  granted: bigint,
  drawn: bigint,
  pending: z.boolean(),
  dropping: z.boolean(),
  batches: bigint,
});

export const journalRow = z.object({ tenants: z.int().min(0), entries: z.int().min(0) });

export const lapsedRow = z.object({
  id: z.string(),
  key: z.instanceof(Buffer).transform((bytes) => bytes.toString()),
  bytes: bigint,
  number: bigint,
});

export const view = z.object({
  key: z.instanceof(Buffer).transform((bytes) => bytes.toString()),
  bytes: bigint.nullable(),
  expires_at: bigint.nullable(),
  version: bigint.nullable(),
  live: z.boolean(),
  pending: z.boolean(),
});
