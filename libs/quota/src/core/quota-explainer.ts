import type { StoreState } from './breaker';
import { Budget } from './budget';
import { QuotaUnavailableError, UnknownTenantError } from './errors';
import type { StoreName } from './observer';
import type { QuotaMode, TenantQuota } from './quota';
import type { QuotaCacheService } from './quota-cache.service';
import type { QuotaRollout, RolloutSource } from './quota-rollout';
import type { QuotaStore } from './quota-store';
import type { QuotaSystem } from './quota-system';
import { modeReason, resolveMode, rolloutBucket, type ModeReason } from './rollout';
import type { StoreBreakers } from './store-breakers';
import { parseTenantId } from './tenant';
import type { Usage, UsageTracker } from './usage-tracker';

/** The copy of a tenant's quota that this instance decides by. */
export interface ConfigurationCopy {
  readonly stamp: number;
  /** Ms since this instance took it, from Redis or from the source. */
  readonly ageMs: number;
  /** False: it serves only as last known good, and is loaded anew with the next request. */
  readonly fresh: boolean;
}

export interface ModeExplanation {
  readonly mode: QuotaMode;
  /** `kill_switch`: off by the environment, whatever is set at run time. */
  readonly reason: ModeReason | 'kill_switch';
  /** Where the value that decided this comes from. */
  readonly source: RolloutSource | 'tenant';
  /** The tenant's place in the rollout, 0 to 99.99; enforced where it is below `percent`. */
  readonly bucket: number;
  /** The rollout's percentage. */
  readonly percent: number;
}

export interface QuotaExplanation {
  readonly tenant: string;
  /** Null: it has no quota, and such tenants are refused. */
  readonly quota: TenantQuota | null;
  /** Null: nothing is held, as of a tenant that is refused for want of a quota. */
  readonly copy: ConfigurationCopy | null;
  /** The stamp that the source has now; another one than the copy's: that is old. Null: it did not answer. */
  readonly latestStamp: number | null;
  /** Null: no store could say. */
  readonly usage: Usage | null;
  readonly mode: ModeExplanation;
  /** The store that decides while nothing is away. */
  readonly store: string;
  /** The one that decides now; `budget`: this process by itself; `nobody`: writes get a 503. */
  readonly decides: string;
  readonly breakers: Partial<Record<StoreName, StoreState>>;
}

export interface ExplainerParts {
  readonly system: QuotaSystem;
  readonly breakers: StoreBreakers;
  readonly quotas: QuotaCacheService;
  readonly source: QuotaStore;
  readonly tracker: UsageTracker;
  readonly rollout: QuotaRollout;
}

/** Says what the next write of a tenant would be decided by on this instance, and why. */
export class QuotaExplainer {
  constructor(private readonly parts: ExplainerParts) {}

  /**
   * @throws InvalidTenantError
   * @throws QuotaUnavailableError when no quota is held and none can be loaded
   */
  async explain(tenant: string): Promise<QuotaExplanation> {
    parseTenantId(tenant);
    const { quotas, source, tracker, breakers, rollout, system } = this.parts;
    const [quota, latest, usage] = await Promise.all([
      quotaOrNull(quotas.getQuota(tenant)),
      answerOrNull('config', () => source.load(tenant)),
      answerOrNull('read', () => tracker.read(tenant)),
    ]);
    return {
      tenant,
      quota,
      copy: quotas.copyOf(tenant),
      latestStamp: latest?.stamp ?? null,
      usage,
      mode: explainMode(rollout, { tenant, mode: quota?.mode ?? null }),
      store: system.usual,
      decides: system.decides(),
      breakers: breakers.states(),
    };
  }
}

/** The mode of a tenant's write, why, and where that comes from. */
export function explainMode(
  rollout: QuotaRollout,
  quota: Pick<TenantQuota, 'tenant' | 'mode'>,
): ModeExplanation {
  const { current, killSwitch } = rollout;
  const reason = modeReason(current, quota);
  return {
    mode: resolveMode(current, quota),
    reason: reason === 'off' && killSwitch ? 'kill_switch' : reason,
    source: sourceOf(reason, rollout),
    bucket: rolloutBucket(quota.tenant),
    percent: current.percent,
  };
}

function sourceOf(reason: ModeReason, { sources }: QuotaRollout): RolloutSource | 'tenant' {
  if (reason === 'tenant_mode') return 'tenant';
  if (reason === 'off') return sources.enabled;
  if (reason === 'named') return sources.tenants;
  return reason === 'log_only' ? sources.logOnly : sources.percent;
}

async function quotaOrNull(quota: Promise<TenantQuota>): Promise<TenantQuota | null> {
  try {
    return await quota;
  } catch (error) {
    if (error instanceof UnknownTenantError) return null;
    throw error;
  }
}

async function answerOrNull<T>(operation: string, ask: () => Promise<T>): Promise<T | null> {
  try {
    return await new Budget().step(operation, ask, { applied: 'no' });
  } catch (error) {
    if (error instanceof QuotaUnavailableError) return null;
    throw error;
  }
}
