import type { StoreBreakers } from './store-breakers';

export interface DecidingParts {
  /** The store that decides while nothing is away. */
  readonly store: string;
  readonly breakers: StoreBreakers;
  /** There is a bank in PostgreSQL. */
  readonly banked: boolean;
  /** Where no store can be asked, a budget of this process decides. */
  readonly hasBudget: boolean;
}

/** The store that would decide now, as far as the breakers know; `budget`: this process; `nobody`: 503. */
export function decidingStore({ store, breakers, banked, hasBudget }: DecidingParts): string {
  const states = breakers.states();
  const serves = (name: 'redis' | 'postgres'): boolean =>
    states[name] === undefined || states[name] === 'closed';
  if (store !== 'redis' || serves('redis')) return store;
  if (!banked) return 'nobody';
  if (serves('postgres')) return 'postgres';
  return hasBudget ? 'budget' : 'nobody';
}
