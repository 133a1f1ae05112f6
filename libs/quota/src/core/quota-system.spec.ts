import type { QuotaBank } from './bank';
import type { StoreState } from './breaker';
import { QuotaObserver, type StoreName } from './observer';
import { QuotaSystem } from './quota-system';
import type { StoreBreakers } from './store-breakers';
import type { UsageTracker } from './usage-tracker';

type States = Partial<Record<StoreName, StoreState>>;

function system(
  store: string,
  states: States,
  { bank = false, hasBudget = false } = {},
): { system: QuotaSystem; observer: QuotaObserver } {
  const observer = new QuotaObserver();
  const journal = (most: number) => Promise.resolve({ tenants: 1, entries: most });
  const parts = {
    tracker: { store } as UsageTracker,
    breakers: { states: () => states } as StoreBreakers,
    bank: bank ? ({ journal } as QuotaBank) : null,
    ...{ hasBudget, observer },
  };
  return { system: new QuotaSystem(parts), observer };
}

it.each<[string, States, { bank?: boolean; hasBudget?: boolean }, string]>([
  ['memory', { postgres: 'open' }, {}, 'memory'],
  ['redis', { redis: 'closed', postgres: 'open' }, { bank: true }, 'redis'],
  ['redis', { redis: 'open', postgres: 'closed' }, {}, 'nobody'],
  ['redis', { redis: 'open', postgres: 'closed' }, { bank: true }, 'postgres'],
  ['redis', { redis: 'half-open', postgres: 'closed' }, { bank: true }, 'postgres'],
  ['redis', { redis: 'open', postgres: 'open' }, { bank: true }, 'nobody'],
  ['redis', { redis: 'open', postgres: 'open' }, { bank: true, hasBudget: true }, 'budget'],
  ['of-my-own', {}, {}, 'of-my-own'],
])('usage in %s, breakers %j, %j: %s decides', (store, states, parts, expected) => {
  expect(system(store, states, parts).system.decides()).toBe(expected);
});

it('knows the latest reconciliation, and has a journal only with a bank', async () => {
  const { system: alone, observer } = system('memory', {});
  expect(alone.lastReconcile).toBeNull();
  const causes = { missingBytes: 0, extraBytes: 5, wrongSizeBytes: 0, recountBytes: 0 };
  const before = Date.now();
  observer.emit('reconciled', { tenant: 't', driftBytes: 5, causes, usedBytes: 1, routine: true });
  expect(alone.lastReconcile?.driftBytes).toBe(5);
  expect(alone.lastReconcile?.at).toBeGreaterThanOrEqual(before);
  await expect(alone.journal()).resolves.toBeNull();
  const { system: banked } = system('redis', {}, { bank: true });
  await expect(banked.journal()).resolves.toEqual({ tenants: 1, entries: 10_000 });
});
