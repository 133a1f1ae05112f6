import { Injectable } from '@nestjs/common';
import { QuotaStore } from '../core/quota-store';
import { UsageTracker } from '../core/usage-tracker';

/** A result as @nestjs/terminus takes it; the package itself is not needed. */
export type QuotaHealthResult = Record<
  string,
  { status: 'up' | 'down'; store: string; usage: 'up' | 'down'; quotas: 'up' | 'down' }
>;

/** A name no tenant can have taken by accident; reading it leaves no trace in either store. */
const PROBE = 'quota-health-probe';

/** Whether usage and quotas can be read. For @nestjs/terminus: `() => quotaHealth.isHealthy()`. */
@Injectable()
export class QuotaHealthIndicator {
  constructor(
    private readonly tracker: UsageTracker,
    private readonly store: QuotaStore,
  ) {}

  /** Never throws: what fails is reported as down. */
  async isHealthy(name = 'quota'): Promise<QuotaHealthResult> {
    const [usage, quotas] = await Promise.all([
      upOrDown(this.tracker.read(PROBE)),
      upOrDown(this.store.load(PROBE)),
    ]);
    const status = usage === 'up' && quotas === 'up' ? 'up' : 'down';
    return { [name]: { status, store: this.tracker.store, usage, quotas } };
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
