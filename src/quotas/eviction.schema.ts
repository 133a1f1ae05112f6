import { MAX_QUOTA_MB } from '@app/quota';
import { z } from 'zod';
import type { EvictionTarget } from '../cache/eviction-trail';

const ALLOWED = 'one of all, targetMb and targetPercent; beside it, reason and resume';
const REASON = '1 to 500 characters';
const RESUME = 'what the call before has answered';
const MB = `a whole number of MB, 0 to ${MAX_QUOTA_MB}`;
const PERCENT = 'a number, 0 to 100';

const oneOf = (...values: readonly unknown[]): boolean =>
  values.filter((value) => value !== undefined).length === 1;

/** How far a tenant's entries are removed; exactly one of the first three. */
export const evictionBody = z
  .strictObject(
    {
      all: z.literal(true, { error: 'true' }).optional(),
      targetMb: z
        .int({ error: MB })
        .min(0, { error: MB })
        .max(MAX_QUOTA_MB, { error: MB })
        .optional(),
      /** Of the quota, without its overage. */
      targetPercent: z
        .number({ error: PERCENT })
        .min(0, { error: PERCENT })
        .max(100, { error: PERCENT })
        .optional(),
      /** Why, for the audit trail. */
      reason: z
        .string({ error: REASON })
        .regex(/^[^\0]{1,500}$/su, { error: REASON })
        .optional(),
      /** What the call before has answered, beside the same target: goes on with that eviction. */
      resume: z.string({ error: RESUME }).max(1_000, { error: RESUME }).optional(),
    },
    { error: ALLOWED },
  )
  .refine(({ all, targetMb, targetPercent }) => oneOf(all, targetMb, targetPercent), {
    error: ALLOWED,
  });

export type EvictionBody = z.output<typeof evictionBody>;

/** As it is kept. */
export function targetOf({ targetMb, targetPercent }: EvictionBody): EvictionTarget {
  if (targetMb !== undefined) return { targetMb };
  return targetPercent === undefined ? { all: true } : { targetPercent };
}
