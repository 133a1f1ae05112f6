import {
  MAX_QUOTA_MB,
  PLAN_NAMES,
  QUOTA_PLANS,
  type QuotaListQuery,
  type QuotaPatch,
} from '@app/quota';
import { z } from 'zod';
import { limit, percent, strict, tenant, whole } from './query';

/** As many digits as are sure to be exact. */
const MAX_STAMP = 999_999_999_999_999;

const toggle = z.boolean({ error: 'true or false' });
const wholeMb = (min: number): z.ZodNumber => {
  const error = `a whole number of MB, ${min} to ${MAX_QUOTA_MB}`;
  return z.int({ error }).min(min, { error }).max(MAX_QUOTA_MB, { error });
};

/** Set by a plan, so not beside one. */
const PLANNED = ['quotaMb', 'overageAllowed', 'overageLimitMb'] as const;
const PLAN = PLAN_NAMES.join(', ');

/** What a quota is set to. What is absent keeps its value, or the table's default in a new row. */
export const quotaBody = z
  .strictObject(
    {
      quotaMb: wholeMb(1).optional(),
      /** Sets all three limits; in place of them. */
      plan: z.enum(PLAN_NAMES, { error: PLAN }).optional(),
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
          ? `only quotaMb, plan, overageAllowed, overageLimitMb, mode and version; not ${issue.keys
              .slice(0, 5)
              .map((key) => key.slice(0, 40))
              .join(', ')}`
          : 'a JSON object with quotaMb or plan',
    },
  )
  .superRefine((body, context) => {
    if (body.plan === undefined) {
      if (body.quotaMb !== undefined) return;
      const message = `a whole number of MB, 1 to ${MAX_QUOTA_MB}; or a plan in its place`;
      context.addIssue({ code: 'custom', path: ['quotaMb'], message });
      return;
    }
    for (const field of PLANNED) {
      if (body[field] === undefined) continue;
      const message = `not beside plan, which sets ${PLANNED.join(', ')}`;
      context.addIssue({ code: 'custom', path: [field], message });
    }
  });

/** Which changes of a quota are listed. */
export const changesQuery = strict({ limit, before: whole(1, MAX_STAMP).optional() });

const MODE = 'off, shadow, enforce, or null: none of its own';

/** Which quotas are listed. */
export const listQuery = strict({
  limit,
  after: tenant.optional(),
  over: z.literal('true', { error: 'true' }).optional(),
  near: percent.optional(),
  mode: z.enum(['off', 'shadow', 'enforce', 'null'], { error: MODE }).optional(),
  plan: z.enum(PLAN_NAMES, { error: PLAN }).optional(),
});

export type ListQuery = z.output<typeof listQuery>;

/** What the query asks of the store. */
export function listOf({ limit, after, over, near, mode, plan }: ListQuery): QuotaListQuery {
  return {
    limit,
    ...(after !== undefined && { after }),
    ...(over !== undefined && { over: true }),
    ...(near !== undefined && { nearPercent: near }),
    ...(mode !== undefined && { mode: mode === 'null' ? null : mode }),
    ...(plan !== undefined && { plan }),
  };
}

export type QuotaBody = z.output<typeof quotaBody>;

/** What the body sets, its plan in limits. */
export function patchOf({ plan, version: _version, ...patch }: QuotaBody): QuotaPatch {
  return { ...patch, ...(plan !== undefined && QUOTA_PLANS[plan]) };
}
