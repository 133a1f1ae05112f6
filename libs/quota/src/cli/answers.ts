import { z } from 'zod';
import { CliError } from './errors';

/** What the commands read of the service's answers; more may be in them. */
const usage = z.looseObject({ usedBytes: z.number(), reservedBytes: z.number() });

export const quota = z.looseObject({
  tenantId: z.string(),
  quotaMb: z.number(),
  overageAllowed: z.boolean(),
  overageLimitMb: z.number(),
  plan: z.string().nullish(),
  mode: z.string().nullable(),
  version: z.number(),
  usage: usage.nullable(),
});
export type Quota = z.infer<typeof quota>;

/** A page of anything. */
export const page = z.looseObject({
  items: z.array(z.unknown()),
  next: z.union([z.string(), z.number()]).nullable(),
});
export type Page = z.infer<typeof page>;

export const reconciled = z.looseObject({
  tenantId: z.string(),
  driftBytes: z.number(),
  corrected: z.number(),
  usedBytes: z.number(),
});

export const evicted = z.looseObject({
  evicted: z.number(),
  freedBytes: z.number(),
  usedBytes: z.number(),
  done: z.boolean(),
  resume: z.string().nullable(),
});

export const rollout = z.looseObject({
  // Null where it is left to the environment of each instance, which the stores do not know.
  enabled: z.boolean().nullable(),
  logOnly: z.boolean().nullable(),
  percent: z.number().nullable(),
  tenants: z.array(z.string()).nullable(),
  mode: z.string().nullable(),
  version: z.number(),
  killSwitch: z.boolean().nullable(),
  confirmed: z.boolean(),
  changedBy: z.string().nullable(),
  changedAt: z.string().nullable(),
  sources: z.record(z.string(), z.string()),
});

export const rolloutChange = z.looseObject({
  version: z.number(),
  changedBy: z.string(),
  changedAt: z.string(),
  before: z.record(z.string(), z.unknown()),
  after: z.record(z.string(), z.unknown()),
});

const record = z.looseObject({ since: z.string(), writes: z.number(), missedWrites: z.number() });

export const impact = z.looseObject({
  record,
  summary: z.looseObject({
    tenants: z.number(),
    refusedTenants: z.number(),
    writes: z.number(),
    refusedWrites: z.number(),
    refusedBytes: z.number(),
  }),
  items: z.array(
    z.looseObject({
      tenantId: z.string(),
      writes: z.number(),
      wouldHaveRefused: z.number(),
      refused: z.number(),
      refusedBytes: z.number(),
      furthestBeyondBytes: z.number(),
      lastAt: z.string(),
    }),
  ),
  next: z.string().nullable(),
});

export const simulation = z.looseObject({
  record,
  summary: z.looseObject({
    rows: z.number(),
    tenants: z.number(),
    enforcedTenants: z.number(),
    refusedTenants: z.number(),
    refusals: z.number(),
    refusedBytes: z.number(),
  }),
  items: z.array(
    z.looseObject({
      tenantId: z.string(),
      writes: z.number(),
      refusals: z.number(),
      refusedBytes: z.number(),
      furthestBeyondBytes: z.number(),
      firstAt: z.string(),
      lastAt: z.string(),
    }),
  ),
  next: z.string().nullable(),
});

export const usagePeriod = z.looseObject({
  tenantId: z.string(),
  period: z.string(),
  byteHours: z.string(),
  peakBytes: z.number(),
  writes: z.number(),
  refusals: z.number(),
  shadowRefusals: z.number(),
  warnings: z.number(),
});

/** @throws CliError when the answer is not that of such a service */
export function read<T>(schema: z.ZodType<T>, answer: unknown): T {
  const parsed = schema.safeParse(answer);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new CliError(
    `The service's answer has not the form this command knows (${issue?.path.join('.') ?? ''}: ` +
      `${issue?.message ?? 'unknown'}). Are both of the same version?`,
  );
}
