import { MAX_QUOTA_MB, rolloutFields, TENANT_ID_PATTERN } from '@app/quota';
import { z } from 'zod';
import { invalidInputs } from '../http/problem';

const FIELDS = 'enabled, logOnly, percent, tenants and version';

/** What the rollout is set to. What is absent keeps its value; null goes back to the environment's. */
export const rolloutBody = z
  .strictObject(
    {
      enabled: rolloutFields.enabled.optional(),
      logOnly: rolloutFields.logOnly.optional(),
      percent: rolloutFields.percent.optional(),
      tenants: rolloutFields.tenants.optional(),
      /** The version the change was made from; another one now → 409. */
      version: z
        .int({ error: 'the version as it was read' })
        .min(0, { error: 'the version as it was read' })
        .optional(),
    },
    {
      error: (issue) =>
        issue.code === 'unrecognized_keys'
          ? `only ${FIELDS}; not ${issue.keys
              .slice(0, 5)
              .map((key) => key.slice(0, 40))
              .join(', ')}`
          : 'a JSON object',
    },
  )
  .refine(({ version: _version, ...values }) => Object.keys(values).length > 0, {
    error: 'at least one of enabled, logOnly, percent and tenants',
  });

export type RolloutBody = z.output<typeof rolloutBody>;

const DAY_MS = 86_400_000;
const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: DAY_MS };
const MOST_MS = 366 * DAY_MS;
const SINCE = 'a time span up to 366d, as 90s, 30m, 24h or 7d, or a time as 2027-01-31T12:00:00Z';

/** A span back from now, or a point in time, as ms since the epoch. */
const since = z
  .string({ error: SINCE })
  .default('24h')
  .transform((text, context) => {
    const [, digits, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
    const time = z.iso.datetime({ offset: true }).safeParse(text).success ? Date.parse(text) : NaN;
    const back =
      digits === undefined ? Date.now() - time : Number(digits) * (UNITS[unit ?? ''] ?? NaN);
    if (back >= 0 && back <= MOST_MS) return Date.now() - back;
    context.addIssue({ code: 'custom', message: SINCE });
    return z.NEVER;
  });

function whole(min: number, max: number): z.ZodType<number> {
  const error = `a whole number, ${min} to ${max}`;
  return z
    .string({ error })
    .regex(/^(0|[1-9]\d{0,15})$/, { error })
    .transform(Number)
    .refine((value) => value >= min && value <= max, { error });
}

const PERCENT = 'a number, 0 to 100, with at most two decimals';
const percent = z
  .string({ error: PERCENT })
  .regex(/^(0|[1-9]\d{0,2})(\.\d{1,2})?$/, { error: PERCENT })
  .transform(Number)
  .refine((value) => value <= 100, { error: PERCENT });

const tenant = z
  .string({ error: 'a tenant id' })
  .regex(TENANT_ID_PATTERN, { error: 'a tenant id' });

const MAX_PAGE = 100;
const limit = whole(1, MAX_PAGE).default(MAX_PAGE);

export const impactQuery = strict({ since, limit, after: tenant.optional() });

export const historyQuery = strict({ limit, before: whole(1, MAX_QUOTA_MB).optional() });

export const simulationQuery = strict({
  since,
  limit,
  limitMb: whole(1, MAX_QUOTA_MB).optional(),
  overageMb: whole(0, MAX_QUOTA_MB).optional(),
  percent: percent.default(100),
  tenant: tenant.optional(),
  after: tenant.optional(),
});

/** A parameter that is spelt wrong must not silently mean nothing. */
function strict<T extends z.ZodRawShape>(shape: T): z.ZodObject<T, z.core.$strict> {
  const names = Object.keys(shape).join(', ');
  return z.strictObject(shape, { error: () => `only the parameters ${names}` });
}

/** @throws ProblemException (400) naming every parameter that is wrong. */
export function parseQuery<T>(schema: z.ZodType<T>, query: unknown): T {
  const parsed = schema.safeParse({ ...(query as object) });
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map(({ path, message }) => ({
    where: path.join('.') || 'query',
    allowed: message,
  }));
  throw invalidInputs(errors, 'The query has parameters that are not usable.');
}
