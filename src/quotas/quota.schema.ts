import { MAX_QUOTA_MB } from '@app/quota';
import { z } from 'zod';

const toggle = z.boolean({ error: 'true or false' });
const wholeMb = (min: number): z.ZodNumber => {
  const error = `a whole number of MB, ${min} to ${MAX_QUOTA_MB}`;
  return z.int({ error }).min(min, { error }).max(MAX_QUOTA_MB, { error });
};

/** What a quota is set to. What is absent keeps its value, or the table's default in a new row. */
export const quotaBody = z.strictObject(
  {
    quotaMb: wholeMb(1),
    overageAllowed: toggle.optional(),
    overageLimitMb: wholeMb(0).optional(),
    mode: z
      .enum(['off', 'shadow', 'enforce'], { error: 'off, shadow, enforce or null' })
      .nullable()
      .optional(),
    /** The version the change was made from; another one now → 409. 0: there must be none yet. */
    version: z
      .int({ error: 'the version as it was read' })
      .min(0, { error: 'the version as it was read' })
      .optional(),
  },
  {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? `only quotaMb, overageAllowed, overageLimitMb, mode and version; not ${issue.keys
            .slice(0, 5)
            .map((key) => key.slice(0, 40))
            .join(', ')}`
        : 'a JSON object with at least quotaMb',
  },
);

export type QuotaBody = z.output<typeof quotaBody>;
