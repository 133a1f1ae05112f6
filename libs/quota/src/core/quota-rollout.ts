import type { QuotaMode } from './quota';
import type { Rollout } from './rollout';
import { NOTHING_SET, type RolloutRow } from './rollout-store';

/** The rollout that an instance starts with, from options or environment. */
export interface RolloutOptions {
  readonly enabled: boolean;
  /** True: off for everyone, whatever is set at run time. */
  readonly killSwitch?: boolean | undefined;
  readonly logOnly: boolean;
  readonly rolloutPercent: number;
  readonly rolloutTenants: readonly string[];
}

export type RolloutSource = 'environment' | 'runtime';

/** Where each value in force comes from. */
export type RolloutSources = { readonly [K in keyof Rollout]: RolloutSource };

/**
 * The rollout as it stands in this instance: what was set at run time, and the environment's values
 * for the rest. A change holds for the next request; reading it is reading a property.
 */
export class QuotaRollout {
  /** What the environment says, without anything set at run time. */
  readonly environment: Rollout;
  /** The environment says off, and nothing set at run time changes that. */
  readonly killSwitch: boolean;
  private state: Rollout;
  private kept: RolloutRow = NOTHING_SET;

  constructor(options: RolloutOptions) {
    // Off that was asked for is the kill switch, unless said otherwise.
    this.killSwitch = options.killSwitch ?? !options.enabled;
    this.environment = {
      enabled: options.enabled && !this.killSwitch,
      logOnly: options.logOnly,
      percent: options.rolloutPercent,
      tenants: new Set(options.rolloutTenants),
    };
    this.state = this.environment;
  }

  get current(): Rollout {
    return this.state;
  }

  /** What is set at run time, as far as this instance knows. */
  get row(): RolloutRow {
    return this.kept;
  }

  get sources(): RolloutSources {
    const { enabled, logOnly, percent, tenants } = this.kept;
    const source = (value: unknown): RolloutSource => (value === null ? 'environment' : 'runtime');
    return {
      enabled: this.killSwitch ? 'environment' : source(enabled),
      ...{ logOnly: source(logOnly), percent: source(percent), tenants: source(tenants) },
    };
  }

  /** Takes over what is kept for all instances; holds for the next request of this one. */
  apply(row: RolloutRow): void {
    const { enabled, logOnly, percent, tenants } = row;
    const base = this.environment;
    this.kept = row;
    this.state = {
      enabled: !this.killSwitch && (enabled ?? base.enabled),
      logOnly: logOnly ?? base.logOnly,
      percent: percent ?? base.percent,
      tenants: tenants === null ? base.tenants : new Set(tenants),
    };
  }
}

/** The mode of a tenant that is neither named nor has a mode of its own, as most are. */
export function overallMode({ enabled, logOnly, percent }: Rollout): QuotaMode {
  if (!enabled) return 'off';
  return logOnly || percent === 0 ? 'shadow' : 'enforce';
}
