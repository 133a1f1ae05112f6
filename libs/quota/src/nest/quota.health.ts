import { Injectable } from '@nestjs/common';
import type { JournalDepth } from '../core/bank';
import type { StoreState } from '../core/breaker';
import type { StoreName } from '../core/observer';
import { QuotaStore } from '../core/quota-store';
import { QuotaSystem } from '../core/quota-system';
import { StoreBreakers } from '../core/store-breakers';
import { UsageTracker } from '../core/usage-tracker';

/** A result as @nestjs/terminus takes it; the package itself is not needed. */
export type QuotaHealthResult = Record<
  string,
  {
    status: 'up' | 'down';
    /** The store that decides while nothing is away. */
    store: string;
    /** The one that decides now; `budget`: this process by itself; `nobody`: writes get a 503. */
    decides: string;
    usage: 'up' | 'down';
    quotas: 'up' | 'down';
    /** State of the breaker before each server; empty where everything is in this process. */
    breakers: Partial<Record<StoreName, StoreState>>;
    /** What waits in PostgreSQL for Redis to take it; null: there is no bank, or it does not answer. */
    journal: JournalDepth | null;
    /** The latest reconciliation of any tenant by this process; null: none since its start. */
    lastReconcile: { at: string; driftBytes: number } | null;
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
    private readonly system: QuotaSystem,
  ) {}

  /** Never throws: what fails is reported as down. */
  async isHealthy(name = 'quota'): Promise<QuotaHealthResult> {
    const { system } = this;
    const [usage, quotas, journal] = await Promise.all([
      upOrDown(this.tracker.read(PROBE)),
      upOrDown(this.store.load(PROBE)),
      system.journal().catch(() => null),
    ]);
    const status = usage === 'up' && quotas === 'up' ? 'up' : 'down';
    const breakers = this.breakers.states();
    const last = system.lastReconcile;
    const lastReconcile = last && { ...last, at: new Date(last.at).toISOString() };
    const [store, decides] = [system.usual, system.decides()];
    return {
      [name]: { status, store, decides, usage, quotas, breakers, journal, lastReconcile },
    };
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
