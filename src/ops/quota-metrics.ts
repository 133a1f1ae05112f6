import {
  overallMode,
  QuotaDecision,
  type DriftCauses,
  type QuotaChecker,
  type QuotaObserver,
  type QuotaRollout,
  type StoreBreakers,
  type StoreName,
} from '@app/quota';
import type { RedisClient } from '../redis/redis-client';
import type { Counter, Gauge, Histogram } from 'prom-client';
import type { DataSource } from 'typeorm';
import type { CounterName, GaugeName } from './metrics';

export type Counters = Readonly<Record<CounterName, Counter>>;
export type Gauges = Readonly<Record<GaugeName, Gauge>>;

/** What the gauges are read from when Prometheus asks. */
export interface GaugeSources {
  readonly checker: QuotaChecker;
  readonly rollout: QuotaRollout;
  readonly breakers: StoreBreakers;
  readonly dataSource: DataSource;
  readonly redis: RedisClient | null;
}

const CAUSES: Readonly<Record<keyof DriftCauses, string>> = {
  missingBytes: 'missing',
  extraBytes: 'extra',
  wrongSizeBytes: 'wrong_size',
  recountBytes: 'recount',
};

const MODES = ['off', 'shadow', 'enforce'] as const;
const STATES = { closed: 0, 'half-open': 1, open: 2 } as const;
const QUERY_MS = 1_000;

/** Uses the partial index on tenants over their quota. */
const OVER_QUOTA =
  'SELECT count(*)::int AS tenants FROM tenant_cache_quotas ' +
  'WHERE current_usage_bytes > quota_mb::bigint * 1048576';

/** Counts what the quota tells of itself. */
export function countEvents(
  observer: QuotaObserver,
  counters: Counters,
  gauges: Gauges,
  duration: Histogram,
): void {
  observer.on('check', ({ decision, mode, source, durationMs }) => {
    counters.quota_checks_total.inc({ decision, mode });
    if (decision === QuotaDecision.REJECT) counters.quota_rejections_total.inc({ mode });
    if (decision === QuotaDecision.WARN) counters.quota_warnings_total.inc({ mode });
    duration.observe({ source }, durationMs / 1_000);
  });
  observer.on('cache', ({ tier, hit }) => {
    counters[hit ? 'quota_cache_hits_total' : 'quota_cache_misses_total'].inc({ tier });
  });
  observer.on('error', ({ operation, error }) => {
    counters.quota_errors_total.inc({ operation, error });
  });
  observer.on('degraded', ({ policy }) => {
    counters.quota_degraded_decisions_total.inc({ policy });
  });
  observer.on('store', ({ store, state }) => {
    gauges.quota_store_state.set({ store }, STATES[state]);
  });
  observer.on('recorded', ({ written, dropped }) => {
    counters.quota_decisions_recorded_total.inc({ outcome: 'written' }, written);
    counters.quota_decisions_recorded_total.inc({ outcome: 'dropped' }, dropped);
  });
  observer.on('swept', ({ expiredReservations }) => {
    counters.quota_reservations_expired_total.inc(expiredReservations);
  });
  const drift = (bytes: number, causes: DriftCauses): void => {
    gauges.quota_usage_drift_bytes.set(bytes);
    for (const [name, cause] of Object.entries(CAUSES)) {
      gauges.quota_usage_drift_cause_bytes.set({ cause }, causes[name as keyof DriftCauses]);
    }
  };
  drift(0, { missingBytes: 0, extraBytes: 0, wrongSizeBytes: 0, recountBytes: 0 });
  observer.on('reconciled', ({ driftBytes, causes }) => drift(driftBytes, causes));
}

/** Sets the gauges to how things stand at this moment. Never throws: what can't be read keeps its value. */
export async function readGauges(gauges: Gauges, sources: GaugeSources): Promise<void> {
  const { checker, rollout, breakers, dataSource, redis } = sources;
  gauges.quota_reserved_bytes.set(checker.reservedBytes);
  const inForce = overallMode(rollout.current);
  for (const mode of MODES) gauges.quota_enforcement_mode.set({ mode }, mode === inForce ? 1 : 0);
  if (redis !== null) setState('redis', redis.status === 'ready');
  try {
    gauges.quota_tenants_over_quota.set(await withDeadline(countOverQuota(dataSource)));
    setState('postgres', true);
  } catch {
    setState('postgres', false);
  }

  /** A breaker that nobody has called says nothing of a store that has just been lost. */
  function setState(store: StoreName, reached: boolean): void {
    const state = breakers.states()[store] ?? 'closed';
    gauges.quota_store_state.set({ store }, reached ? STATES[state] : STATES.open);
  }
}

async function countOverQuota(dataSource: DataSource): Promise<number> {
  const [row] = await dataSource.query<{ tenants: number }[]>(OVER_QUOTA);
  return row?.tenants ?? 0;
}

async function withDeadline<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('The database did not answer in time.')), QUERY_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
