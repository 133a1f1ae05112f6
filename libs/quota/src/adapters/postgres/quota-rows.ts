import { z } from 'zod';
import { MAX_QUOTA_MB, type QuotaChangeRecord } from '../../core/quota-store';
import type { QuotaRow } from '../../core/quota-source';
import { TENANT_ID_PATTERN } from '../../core/tenant';
import { exactNumber } from './bigint';
import type { Row } from './session';

const mb = (min: number): z.ZodNumber => z.int().min(min).max(MAX_QUOTA_MB);

const bigint = z.union([z.string(), z.number()]).transform((value, context) => {
  try {
    return exactNumber(value);
  } catch (error) {
    context.addIssue({ code: 'custom', message: String(error) });
    return z.NEVER;
  }
});

const count = bigint.pipe(z.int().min(0));

/** The table's own rules once more: a table made by other means may lack the constraints. */
const row = z.object({
  tenant_id: z.string().regex(TENANT_ID_PATTERN),
  quota_mb: mb(1),
  overage_allowed: z.boolean(),
  overage_limit_mb: mb(0),
  mode: z.enum(['off', 'shadow', 'enforce']).nullable(),
  version: mb(1),
  current_usage_bytes: count,
  created_at: z.date(),
  updated_at: z.date(),
});

/**
 * A row of `tenant_cache_quotas` as the core has it.
 *
 * @throws Error naming the tenant and what is wrong, when the row breaks the table's rules.
 */
export function toQuotaRow(raw: Row): QuotaRow {
  const parsed = row.safeParse(raw);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(
      ({ path, message }) => `${path.join('.')}: ${message}`,
    );
    throw new Error(
      `The row of tenant ${JSON.stringify(raw['tenant_id'])} in tenant_cache_quotas breaks the ` +
        `table's rules (${problems.join('; ')}). Mend it, and run the migrations for the constraints.`,
    );
  }
  const { data } = parsed;
  return {
    tenant: data.tenant_id,
    quotaMb: data.quota_mb,
    overageAllowed: data.overage_allowed,
    overageLimitMb: data.overage_limit_mb,
    mode: data.mode,
    version: data.version,
    currentUsageBytes: data.current_usage_bytes,
    createdAt: data.created_at,
    updatedAt: data.updated_at,
  };
}

const snapshot = row
  .pick({ quota_mb: true, overage_allowed: true, overage_limit_mb: true, mode: true })
  .extend({ version: z.int() })
  .transform(({ quota_mb: quotaMb, overage_allowed, overage_limit_mb, mode, version }) => ({
    ...{ quotaMb, overageAllowed: overage_allowed, overageLimitMb: overage_limit_mb },
    ...{ mode, version },
  }))
  .nullable();

const change = z.object({
  id: bigint,
  action: z.enum(['create', 'update', 'delete']),
  actor: z.string(),
  before: snapshot,
  after: snapshot,
  changed_at: z.date(),
});

/** A row of `quota_changes` as the core has it. @throws Error when it breaks the table's rules. */
export function toChangeRecord(raw: Row): QuotaChangeRecord {
  const { id: stamp, changed_at: changedAt, ...rest } = change.parse(raw);
  return { stamp, ...rest, changedAt };
}

/** The stamp beside a row. @throws RangeError when it is none. */
export function toStamp(raw: Row | undefined): number {
  return exactNumber(raw?.['stamp']);
}
