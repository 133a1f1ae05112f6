import { QuotaObserver, type DriftCauses, type StoreState } from '@app/quota';
import { Counter, Gauge, Registry, type Histogram } from 'prom-client';
import { RecentDrift } from './drift';
import { stateValue } from './quota-gauges';
import { countEvents, type Counters, type Gauges } from './quota-metrics';

it('quota_store_state follows the breaker', async () => {
  const registers = [new Registry()];
  const name = 'quota_store_state';
  const gauge = new Gauge({ name, help: name, labelNames: ['store'], registers });
  const gauges = { [name]: gauge } as unknown as Gauges;
  const observer = new QuotaObserver();
  const [counters, duration] = [{} as Counters, {} as Histogram];
  countEvents(observer, { counters, gauges, duration, drift: new RecentDrift() });
  for (const [state, value] of [
    ['open', 2],
    ['half-open', 1],
    ['closed', 0],
  ] as const) {
    observer.emit('store', { store: 'redis', state });
    expect((await gauge.get()).values).toMatchObject([{ labels: { store: 'redis' }, value }]);
  }
});

it('quota_lapsed_reservations_total counts those let go once, the others with every look', async () => {
  const registers = [new Registry()];
  const name = 'quota_lapsed_reservations_total';
  const counter = new Counter({ name, help: name, labelNames: ['outcome'], registers });
  const counters = { [name]: counter } as unknown as Counters;
  const observer = new QuotaObserver();
  const [gauges, duration] = [{} as Gauges, {} as Histogram];
  countEvents(observer, { counters, gauges, duration, drift: new RecentDrift() });
  observer.emit('lapsed', { tenant: 'a', found: 5, letGo: 3 });
  observer.emit('lapsed', { tenant: 'a', found: 2, letGo: 2 });
  expect((await counter.get()).values).toMatchObject([
    { labels: { outcome: 'let_go' }, value: 5 },
    { labels: { outcome: 'kept' }, value: 2 },
  ]);
});

it.each<[StoreState | undefined, boolean, number]>([
  ['closed', true, 0],
  [undefined, true, 0],
  ['half-open', true, 1],
  ['open', true, 2],
  ['closed', false, 2],
  [undefined, false, 2],
])('at a scrape, with a breaker %s and a store reached: %s, it is %i', (state, reached, value) => {
  expect(stateValue(state, reached)).toBe(value);
});

describe('the drift shown', () => {
  const none = { missingBytes: 0, extraBytes: 0, wrongSizeBytes: 0, recountBytes: 0 };
  let time = 0;
  let drift: RecentDrift;

  function found(tenant: string, causes: Partial<DriftCauses>): void {
    const all = { ...none, ...causes };
    const driftBytes = Object.values(all).reduce((sum, bytes) => sum + bytes, 0);
    drift.note({ tenant, driftBytes, causes: all, usedBytes: 0, routine: true });
  }

  beforeEach(() => {
    time = 1;
    drift = new RecentDrift(() => time);
  });

  it('is that of all tenants, not of the last one', () => {
    found('a', { missingBytes: -5 });
    found('b', { extraBytes: 7 });
    found('c', {});
    expect(drift.sum()).toEqual({
      driftBytes: 2,
      causes: { ...none, missingBytes: -5, extraBytes: 7 },
    });
  });

  it('is gone when the tenant is found right, and after a quarter of an hour', () => {
    found('a', { extraBytes: 5, missingBytes: -5 });
    expect(drift.sum().causes).toEqual({ ...none, extraBytes: 5, missingBytes: -5 });
    found('b', { recountBytes: 1 });
    found('a', {});
    expect(drift.sum().driftBytes).toBe(1);
    time += 15 * 60_000 + 1;
    expect(drift.sum().driftBytes).toBe(0);
  });
});
