import { MAX_QUOTA_MB } from '@app/quota';
import { z } from 'zod';

const ALLOWED = 'one of all, targetMb and targetPercent';
const MB = `a whole number of MB, 0 to ${MAX_QUOTA_MB}`;
const PERCENT = 'a number, 0 to 100';

/** How far a tenant's entries are removed; exactly one of them. */
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
    },
    { error: ALLOWED },
  )
  .refine((body) => Object.keys(body).length === 1, { error: ALLOWED });

export type EvictionBody = z.output<typeof evictionBody>;
