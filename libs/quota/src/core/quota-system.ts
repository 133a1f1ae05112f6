import type { JournalDepth, QuotaBank } from './bank';
import { BUDGET_SOURCE } from './bank-desk';
import type { QuotaObserver } from './observer';
import type { StoreBreakers } from './store-breakers';
import type { UsageTracker } from './usage-tracker';

/** The journal is counted as far as this, which takes PostgreSQL a few ms. */
const MOST_JOURNAL = 10_000;

export interface LastReconcile {
  /** Ms since the epoch, by this process's clock. */
  readonly at: number;
  /** Of one tenant: counted minus true, signed. */
  readonly driftBytes: number;
}

export interface QuotaSystemParts {
  readonly tracker: UsageTracker;
  readonly breakers: StoreBreakers;
  /** Null: there is none. */
  readonly bank: QuotaBank | null;
  /** Where no store can be asked, a budget of this process decides. */
  readonly hasBudget: boolean;
  readonly observer: QuotaObserver;
}

/** How the quota as a whole stands, for whoever runs it. */
export class QuotaSystem {
  private last: LastReconcile | null = null;

  constructor(private readonly parts: QuotaSystemParts) {
    parts.observer.on('reconciled', ({ driftBytes }) => {
      this.last = { at: Date.now(), driftBytes };
    });
  }

  /** The store that decides while nothing is away. */
  get usual(): string {
    return this.parts.tracker.store;
  }

  /** The store that would decide now, as far as the breakers know; `budget`: this process; `nobody`: 503. */
  decides(): string {
    const { breakers, bank, hasBudget } = this.parts;
    const states = breakers.states();
    const serves = (store: 'redis' | 'postgres'): boolean =>
      states[store] === undefined || states[store] === 'closed';
    if (this.usual !== 'redis' || serves('redis')) return this.usual;
    if (bank === null) return 'nobody';
    if (serves('postgres')) return 'postgres';
    return hasBudget ? BUDGET_SOURCE : 'nobody';
  }

  /**
   * What PostgreSQL has admitted and Redis has not taken yet; null: there is no bank. Counted to
   * 10,000.
   *
   * @throws QuotaUnavailableError
   */
  async journal(): Promise<JournalDepth | null> {
    return (await this.parts.bank?.journal(MOST_JOURNAL)) ?? null;
  }

  /** The latest reconciliation of any tenant by this process; null: none since its start. */
  get lastReconcile(): LastReconcile | null {
    return this.last;
  }
}
