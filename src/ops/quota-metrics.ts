import {
  QuotaDecision,
  type DriftCauses,
  type QuotaChecker,
  type QuotaObserver,
  type QuotaRollout,
} from '@app/quota';
import type { Redis } from 'ioredis';
import type { Counter, Gauge, Histogram } from 'prom-client';
import type { DataSource } from 'typeorm';
import type { CounterName, GaugeName } from './metrics';

export type Counters = Readonly<Record<CounterName, Counter>>;
export type Gauges = Readonly<Record<GaugeName, Gauge>>;

/** What the gauges are read from when Prometheus asks. */
export interface GaugeSources {
  readonly checker: QuotaChecker;
  readonly rollout: QuotaRollout;
  readonly dataSource: DataSource;
  readonly redis: Redis | null;
}

const CAUSES: Readonly<Record<keyof DriftCauses, string>> = {
  missingBytes: 'missing',
  extraBytes: 'extra',
  wrongSizeBytes: 'wrong_size',
  recountBytes: 'recount',
};

const MODES = ['off', 'shadow', 'enforce'] as const;
const CLOSED = 0;
const OPEN = 2;
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
  observer.on('swept', ({ expiredReservations }) => {
    counters.quota_reservations_expired_total.inc(expiredReservations);
  });
  const drift = (bytes: number, causes: DriftCauses): void => {
    gauges.quota_usage_drift_bytes.set(bytes);
    for (const [name, cause] of Object.entries(CAUSES)) {
      gauges.quota_usage_drift_bytes.set({ cause }, causes[name as keyof DriftCauses]);
    }
  };
  drift(0, { missingBytes: 0, extraBytes: 0, wrongSizeBytes: 0, recountBytes: 0 });
  observer.on('reconciled', ({ driftBytes, causes }) => drift(driftBytes, causes));
}

/** Sets the gauges to how things stand at this moment. Never throws: what can't be read keeps its value. */
export async function readGauges(gauges: Gauges, sources: GaugeSources): Promise<void> {
  const { checker, rollout, dataSource, redis } = sources;
  gauges.quota_reserved_bytes.set(checker.reservedBytes);
  const { enabled, logOnly, percent } = rollout.current;
  const inForce = !enabled ? 'off' : logOnly || percent === 0 ? 'shadow' : 'enforce';
  for (const mode of MODES) gauges.quota_enforcement_mode.set({ mode }, mode === inForce ? 1 : 0);
  if (redis !== null) {
    gauges.quota_store_state.set({ store: 'redis' }, redis.status === 'ready' ? CLOSED : OPEN);
  }
  try {
    const tenants = await withDeadline(countOverQuota(dataSource));
    gauges.quota_tenants_over_quota.set(tenants);
    gauges.quota_store_state.set({ store: 'postgres' }, CLOSED);
  } catch {
    gauges.quota_store_state.set({ store: 'postgres' }, OPEN);
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
