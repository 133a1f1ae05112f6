import { MAX_QUOTA_MB, rolloutFields } from '@app/quota';
import { z } from 'zod';
import { limit, percent, strict, tenant, whole } from './query';

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
