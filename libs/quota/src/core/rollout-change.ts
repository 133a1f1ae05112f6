import { z } from 'zod';
import { InvalidWriteError } from './errors';
import type { RolloutPatch, RolloutValues } from './rollout-store';
import { TENANT_ID_PATTERN } from './tenant';

/** Tenants that can be named at run time: the list is sent to every instance, and kept by each. */
export const MAX_ROLLOUT_TENANTS = 1_000;

/** Lines of the history in one page at most. */
export const MAX_ROLLOUT_HISTORY = 100;

const toggle = z.boolean({ error: 'true, false or null' }).nullable();
const PERCENT = 'a number, 0 to 100, with at most two decimals, or null';
const NAMES = `a list of at most ${String(MAX_ROLLOUT_TENANTS)} tenant ids, or null`;

/** What may stand in a change; the message of each says what is allowed. */
export const rolloutFields = {
  enabled: toggle,
  logOnly: toggle,
  percent: z
    .number({ error: PERCENT })
    .min(0, { error: PERCENT })
    .max(100, { error: PERCENT })
    .refine((value) => Number(value.toFixed(2)) === value, { error: PERCENT })
    .nullable(),
  tenants: z
    .array(z.string({ error: NAMES }).regex(TENANT_ID_PATTERN, { error: NAMES }), { error: NAMES })
    .max(MAX_ROLLOUT_TENANTS, { error: NAMES })
    .transform((names) => [...new Set(names)])
    .nullable(),
};

const patchSchema = z.strictObject(rolloutFields).partial();

/**
 * Checks a change before any I/O. Names that stand twice count once.
 *
 * @throws InvalidWriteError naming the field and what is allowed, an unknown field included.
 */
export function parseRolloutPatch(patch: RolloutPatch): RolloutPatch {
  const parsed = patchSchema.safeParse(patch);
  if (parsed.success) {
    const given = Object.entries(parsed.data).filter(
      ([, value]) => (value as unknown) !== undefined,
    );
    if (given.length > 0) return Object.fromEntries(given);
    throw invalid('rollout', `at least one of ${Object.keys(rolloutFields).join(', ')}`);
  }
  const [issue] = parsed.error.issues;
  if (issue?.code === 'unrecognized_keys') {
    const names = Object.keys(rolloutFields).join(', ');
    throw invalid(issue.keys[0]?.slice(0, 40) ?? 'rollout', `one of ${names}`);
  }
  throw invalid(String(issue?.path[0] ?? 'rollout'), issue?.message ?? 'an object');
}

/** What holds after a change of what held before. */
export function applyPatch(before: RolloutValues, patch: RolloutPatch): RolloutValues {
  const { enabled, logOnly, percent, tenants } = { ...before, ...patch };
  return { enabled, logOnly, percent, tenants };
}

/** @throws InvalidWriteError */
export function parseHistoryQuery(query: { before?: number; limit: number }): {
  before: number | null;
  limit: number;
} {
  const { before, limit } = query;
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_ROLLOUT_HISTORY) {
    throw invalid('limit', `a whole number, 1 to ${String(MAX_ROLLOUT_HISTORY)}`);
  }
  if (before !== undefined && (!Number.isSafeInteger(before) || before < 0)) {
    throw invalid('before', 'a version of the rollout');
  }
  return { before: before ?? null, limit };
}

function invalid(where: string, allowed: string): InvalidWriteError {
  return new InvalidWriteError(
    { where, allowed },
    `The ${where} of the rollout is not usable. Allowed: ${allowed}.`,
  );
}
