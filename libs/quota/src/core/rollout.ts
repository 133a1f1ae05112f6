import { createHash } from 'node:crypto';
import type { QuotaMode, TenantQuota } from './quota';

/** Who is enforced, who is only watched. Read for every request, so a change holds for the next. */
export interface Rollout {
  /** False: off for everyone, whatever else is set. The way back in one switch. */
  readonly enabled: boolean;
  /** True: shadow for everyone who is not enforced by name or by a mode of its own. */
  readonly logOnly: boolean;
  /** Share of tenants that is enforced, 0 to 100; the rest is in shadow. */
  readonly percent: number;
  /** Always enforced while enabled. */
  readonly tenants: ReadonlySet<string>;
}

/**
 * A tenant's place in the rollout, 0 to 99.99, uniform and always the same, so that a larger
 * percentage only adds tenants.
 */
export function rolloutBucket(tenant: string): number {
  return (createHash('sha1').update(tenant).digest().readUInt32BE(0) % 10_000) / 100;
}

/** The mode that applies to a tenant's write. */
export function resolveMode(
  rollout: Rollout,
  quota: Pick<TenantQuota, 'tenant' | 'mode'>,
): QuotaMode {
  if (!rollout.enabled) return 'off';
  if (quota.mode !== null) return quota.mode;
  if (rollout.tenants.has(quota.tenant)) return 'enforce';
  if (rollout.logOnly) return 'shadow';
  if (rollout.percent >= 100) return 'enforce';
  return rolloutBucket(quota.tenant) < rollout.percent ? 'enforce' : 'shadow';
}
