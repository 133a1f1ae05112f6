import { Breaker, type BreakerOptions, type StoreState } from './breaker';
import { describeCause } from './error-event';
import type { QuotaObserver, StoreName } from './observer';

/** The breakers of one module, and what they tell of themselves. */
export class StoreBreakers {
  private readonly breakers = new Map<StoreName, Breaker>();

  constructor(private readonly observer: QuotaObserver) {}

  add(store: StoreName, options: Omit<BreakerOptions, 'store' | 'onChange'>): Breaker {
    const onChange = (state: StoreState, error: unknown): void => {
      const cause = describeCause(error);
      this.observer.emit('store', { store, state, ...(cause !== undefined && { cause }) });
    };
    const breaker = new Breaker({ ...options, store, onChange });
    this.breakers.set(store, breaker);
    return breaker;
  }

  /** Of the stores that there are; empty where everything is kept in this process. */
  states(): Partial<Record<StoreName, StoreState>> {
    return Object.fromEntries([...this.breakers].map(([store, { state }]) => [store, state]));
  }

  /** Ends all probing; see {@link Breaker.stop}. */
  stop(): void {
    for (const breaker of this.breakers.values()) breaker.stop();
  }
}
