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

  /**
   * Runs work of your own that asks a store too, behind the breaker of that store: refused at once
   * while it is away, and what the work finds out counts for all. Throw QuotaUnavailableError with
   * the `contact` that says what was found. Where there is no such store, the work just runs.
   *
   * @throws QuotaUnavailableError (`applied: 'no'`) at once unless closed, and what the work throws.
   */
  run<T>(store: StoreName, operation: string, work: () => Promise<T>): Promise<T> {
    return this.breakers.get(store)?.run(operation, work) ?? work();
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
