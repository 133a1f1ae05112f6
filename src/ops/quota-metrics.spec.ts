import {
  QuotaObserver,
  type QuotaChecker,
  type QuotaRollout,
  type StoreBreakers,
  type StoreState,
} from '@app/quota';
import type { Redis } from 'ioredis';
import { Gauge, Registry, type Histogram } from 'prom-client';
import type { DataSource } from 'typeorm';
import { countEvents, readGauges, type Counters, type Gauges } from './quota-metrics';

function setUp() {
  const registers = [new Registry()];
  const gauge = (name: string, ...labelNames: string[]): Gauge =>
    new Gauge({ name, help: name, labelNames, registers });
  const gauges = {
    quota_store_state: gauge('quota_store_state', 'store'),
    quota_enforcement_mode: gauge('quota_enforcement_mode', 'mode'),
    quota_tenants_over_quota: gauge('quota_tenants_over_quota'),
    quota_reserved_bytes: gauge('quota_reserved_bytes'),
    quota_usage_drift_bytes: gauge('quota_usage_drift_bytes'),
    quota_usage_drift_cause_bytes: gauge('quota_usage_drift_cause_bytes', 'cause'),
  } as unknown as Gauges;
  const states = async (): Promise<Record<string, number>> => {
    const { values } = await gauges.quota_store_state.get();
    return Object.fromEntries(
      values.map(({ labels, value }): [string, number] => [String(labels['store']), value]),
    );
  };
  return { gauges, states };
}

it('quota_store_state follows the breaker', async () => {
  const { gauges, states } = setUp();
  const observer = new QuotaObserver();
  countEvents(observer, {} as Counters, gauges, {} as Histogram);
  for (const [state, value] of [
    ['open', 2],
    ['half-open', 1],
    ['closed', 0],
  ] as const) {
    observer.emit('store', { store: 'redis', state });
    await expect(states()).resolves.toEqual({ redis: value });
  }
});

it.each<[string, StoreState, number, number]>([
  ['ready', 'closed', 0, 0],
  ['ready', 'half-open', 1, 1],
  ['ready', 'open', 2, 2],
  ['reconnecting', 'closed', 2, 0],
])(
  'at a scrape, with a client %s and a breaker %s, it is %i',
  async (status, state, redis, postgres) => {
    const { gauges, states } = setUp();
    const sources = {
      checker: { reservedBytes: 0 } as QuotaChecker,
      rollout: { current: { enabled: true, logOnly: false, percent: 100 } } as QuotaRollout,
      breakers: { states: () => ({ redis: state, postgres: state }) } as unknown as StoreBreakers,
      dataSource: { query: () => Promise.resolve([{ tenants: 3 }]) } as unknown as DataSource,
      redis: { status } as Redis,
    };
    await readGauges(gauges, sources);
    await expect(states()).resolves.toEqual({ redis, postgres });
    const query = (): Promise<never> => Promise.reject(new Error('gone'));
    await readGauges(gauges, { ...sources, dataSource: { query } as unknown as DataSource });
    await expect(states()).resolves.toEqual({ redis, postgres: 2 });
  },
);
