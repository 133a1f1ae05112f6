import { QuotaDecision, type QuotaObserver } from '@app/quota';
import type { Counter, Gauge, Histogram } from 'prom-client';
import type { RecentDrift } from './drift';
import type { CounterName, GaugeName } from './metrics';

export type Counters = Readonly<Record<CounterName, Counter>>;
export type Gauges = Readonly<Record<GaugeName, Gauge>>;

export const STATES = { closed: 0, 'half-open': 1, open: 2 } as const;

/** What the metrics are told by. */
export interface MetricSinks {
  readonly counters: Counters;
  readonly gauges: Gauges;
  readonly duration: Histogram;
  readonly drift: RecentDrift;
}

/** Counts what the quota tells of itself. */
export function countEvents(
  observer: QuotaObserver,
  { counters, gauges, duration, drift }: MetricSinks,
): void {
  observer.on('check', ({ decision, mode, source, durationMs }) => {
    counters.quota_checks_total.inc({ decision, mode });
    if (decision === QuotaDecision.REJECT) counters.quota_rejections_total.inc({ mode });
    if (decision === QuotaDecision.WARN) counters.quota_warnings_total.inc({ mode });
    duration.observe({ source }, durationMs / 1_000);
  });
  observer.on('late', ({ mode }) => {
    counters.quota_late_rejections_total.inc({ mode });
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
  observer.on('lapsed', ({ found, letGo }) => {
    counters.quota_lapsed_reservations_total.inc({ outcome: 'let_go' }, letGo);
    // One that another instance has let go meanwhile is not among the `letGo` of this one.
    counters.quota_lapsed_reservations_total.inc({ outcome: 'kept' }, found - letGo);
  });
  observer.on('reconciled', (event) => drift.note(event));
}

/** A series that begins with its first event hides that event from `rate()`: they begin at 0. */
export function beginAtZero(counters: Counters, tiers: readonly string[]): void {
  for (const mode of ['enforce', 'shadow']) {
    for (const decision of Object.values(QuotaDecision)) {
      counters.quota_checks_total.inc({ decision, mode }, 0);
    }
    counters.quota_rejections_total.inc({ mode }, 0);
    counters.quota_warnings_total.inc({ mode }, 0);
    counters.quota_late_rejections_total.inc({ mode }, 0);
  }
  for (const tier of tiers) {
    counters.quota_cache_hits_total.inc({ tier }, 0);
    counters.quota_cache_misses_total.inc({ tier }, 0);
  }
  for (const outcome of ['let_go', 'kept']) {
    counters.quota_lapsed_reservations_total.inc({ outcome }, 0);
  }
  for (const policy of ['bank', 'allow', 'deny']) {
    counters.quota_degraded_decisions_total.inc({ policy }, 0);
  }
}
