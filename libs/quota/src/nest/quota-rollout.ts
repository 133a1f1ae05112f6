import type { Rollout } from '../core/rollout';
import type { ResolvedQuotaOptions } from './options';

/** The rollout as it stands; a change holds for the next request of this instance. */
export class QuotaRollout {
  private state: Rollout;

  constructor(
    options: Pick<
      ResolvedQuotaOptions,
      'enabled' | 'logOnly' | 'rolloutPercent' | 'rolloutTenants'
    >,
  ) {
    this.state = {
      enabled: options.enabled,
      logOnly: options.logOnly,
      percent: options.rolloutPercent,
      tenants: new Set(options.rolloutTenants),
    };
  }

  get current(): Rollout {
    return this.state;
  }
}
