/** What a plan sets, in whole MB. */
export interface PlanLimits {
  readonly quotaMb: number;
  readonly overageAllowed: boolean;
  readonly overageLimitMb: number;
}

/** A tenth on top is tolerated with a warning, in whole MB. */
function planOf(quotaMb: number): PlanLimits {
  return { quotaMb, overageAllowed: true, overageLimitMb: Math.round(quotaMb / 10) };
}

/** Sets of limits with a name. A row keeps its limits alone; which plan they are is worked out. */
export const QUOTA_PLANS = {
  starter: planOf(100),
  pro: planOf(500),
  enterprise: planOf(2_048),
} as const;

export type PlanName = keyof typeof QUOTA_PLANS;

/** The names, smallest plan first. */
export const PLAN_NAMES = Object.keys(QUOTA_PLANS) as [PlanName, ...PlanName[]];

/** The plan that has exactly these limits; null: none. */
export function planWith(limits: PlanLimits): PlanName | null {
  const fits = (name: PlanName): boolean => {
    const { quotaMb, overageAllowed, overageLimitMb } = QUOTA_PLANS[name];
    return (
      limits.quotaMb === quotaMb &&
      limits.overageAllowed === overageAllowed &&
      limits.overageLimitMb === overageLimitMb
    );
  };
  return PLAN_NAMES.find(fits) ?? null;
}
