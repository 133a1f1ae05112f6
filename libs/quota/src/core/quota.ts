/** How the verdict on a write is applied. `off`: nothing is checked or charged. */
export type QuotaMode = 'off' | 'shadow' | 'enforce';

/** The two bounds a decision is made against, in bytes. */
export interface QuotaLimits {
  /** Up to here a write is allowed. */
  readonly quotaBytes: number;
  /** Up to here a write is allowed with a warning; beyond, it is refused. At least `quotaBytes`. */
  readonly hardBytes: number;
}

/** What is known of one tenant's quota, as every instance caches it. */
export interface TenantQuota {
  readonly tenant: string;
  readonly quotaBytes: number;
  readonly overageAllowed: boolean;
  /** Bytes beyond the quota that are tolerated with a warning when `overageAllowed`. */
  readonly overageBytes: number;
  /** The tenant's own mode; null follows the rollout. */
  readonly mode: QuotaMode | null;
  /**
   * Rises with every change of this tenant's quota, its deletion included, and never falls; 0 when
   * it was never set. Lets a store tell an instance that its copy is old.
   */
  readonly stamp: number;
  /** `tenant`: a row of its own; `default`: the configured default, since it has none. */
  readonly origin: 'tenant' | 'default';
}

/** The bounds that follow from a tenant's quota. */
export function limitsOf(quota: TenantQuota): QuotaLimits {
  return {
    quotaBytes: quota.quotaBytes,
    hardBytes: quota.quotaBytes + (quota.overageAllowed ? quota.overageBytes : 0),
  };
}
