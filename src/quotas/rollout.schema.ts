import { MAX_QUOTA_MB, parseSince, rolloutFields, SINCE_ALLOWED } from '@app/quota';
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

/** A span back from now, or a point in time, as ms since the epoch. */
const since = z
  .string({ error: SINCE_ALLOWED })
  .default('24h')
  .transform((text, context) => {
    const from = parseSince(text);
    if (from !== null) return from;
    context.addIssue({ code: 'custom', message: SINCE_ALLOWED });
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
