import { Injectable } from '@nestjs/common';
import type { StoreState } from '../core/breaker';
import type { StoreName } from '../core/observer';
import { QuotaStore } from '../core/quota-store';
import { StoreBreakers } from '../core/store-breakers';
import { UsageTracker } from '../core/usage-tracker';

/** A result as @nestjs/terminus takes it; the package itself is not needed. */
export type QuotaHealthResult = Record<
  string,
  {
    status: 'up' | 'down';
    store: string;
    usage: 'up' | 'down';
    quotas: 'up' | 'down';
    /** State of the breaker before each server; empty where everything is in this process. */
    breakers: Partial<Record<StoreName, StoreState>>;
  }
>;

/** A name no tenant can have taken by accident; reading it leaves no trace in either store. */
const PROBE = 'quota-health-probe';

/** Whether usage and quotas can be read. For @nestjs/terminus: `() => quotaHealth.isHealthy()`. */
@Injectable()
export class QuotaHealthIndicator {
  constructor(
    private readonly tracker: UsageTracker,
    private readonly store: QuotaStore,
    private readonly breakers: StoreBreakers,
  ) {}

  /** Never throws: what fails is reported as down. */
  async isHealthy(name = 'quota'): Promise<QuotaHealthResult> {
    const [usage, quotas] = await Promise.all([
      upOrDown(this.tracker.read(PROBE)),
      upOrDown(this.store.load(PROBE)),
    ]);
    const status = usage === 'up' && quotas === 'up' ? 'up' : 'down';
    const breakers = this.breakers.states();
    return { [name]: { status, store: this.tracker.store, usage, quotas, breakers } };
  }
}

async function upOrDown(probe: Promise<unknown>): Promise<'up' | 'down'> {
  try {
    await probe;
    return 'up';
  } catch {
    return 'down';
  }
}
