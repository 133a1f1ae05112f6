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

/** Why a mode applies; see {@link resolveMode}. The first that holds, in this order. */
export type ModeReason =
  /** Off for everyone. */
  | 'off'
  /** The tenant's row says so. */
  | 'tenant_mode'
  /** Named in the rollout. */
  | 'named'
  | 'log_only'
  /** At 100 %. */
  | 'everyone'
  /** By {@link rolloutBucket}. */
  | 'within_percent'
  | 'beyond_percent';

const MODES: Readonly<Record<Exclude<ModeReason, 'tenant_mode'>, QuotaMode>> = {
  off: 'off',
  named: 'enforce',
  log_only: 'shadow',
  everyone: 'enforce',
  within_percent: 'enforce',
  beyond_percent: 'shadow',
};

type Subject = Pick<TenantQuota, 'tenant' | 'mode'>;

/** Why the mode that applies to a tenant's write is the one it is. */
export function modeReason(rollout: Rollout, quota: Subject): ModeReason {
  if (!rollout.enabled) return 'off';
  if (quota.mode !== null) return 'tenant_mode';
  if (rollout.tenants.has(quota.tenant)) return 'named';
  if (rollout.logOnly) return 'log_only';
  if (rollout.percent >= 100) return 'everyone';
  return rolloutBucket(quota.tenant) < rollout.percent ? 'within_percent' : 'beyond_percent';
}

/** The mode that applies to a tenant's write. */
export function resolveMode(rollout: Rollout, quota: Subject): QuotaMode {
  const reason = modeReason(rollout, quota);
  return reason === 'tenant_mode' ? (quota.mode ?? MODES.everyone) : MODES[reason];
}
