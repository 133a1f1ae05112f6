import type { Provider } from '@nestjs/common';
import {
  makeCounterProvider,
  makeGaugeProvider,
  makeHistogramProvider,
} from '@willsoto/nestjs-prometheus';
import type { Registry } from 'prom-client';

/** From 50 µs, a decision in process, to 1 s, beyond every deadline. */
const CHECK_SECONDS = [
  0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
];

const COUNTERS = {
  quota_checks_total: ['Decisions on writes', 'decision', 'mode'],
  quota_rejections_total: ['Writes refused, or that would have been in shadow mode', 'mode'],
  quota_late_rejections_total: ['Writes let through that no longer fitted at commit', 'mode'],
  quota_warnings_total: ['Writes beyond the quota, within the overage', 'mode'],
  quota_cache_hits_total: ['Quotas found in a tier of the cache', 'tier'],
  quota_cache_misses_total: ['Quotas not found in a tier of the cache', 'tier'],
  quota_errors_total: ['Failures of ours', 'operation', 'error'],
  quota_degraded_decisions_total: ['Decisions taken while a store was away', 'policy'],
  quota_decisions_recorded_total: ['Decisions written to the record, or lost to it', 'outcome'],
  quota_reservations_expired_total: ['Holds that were never settled, found lapsed by the sweep'],
  quota_lapsed_reservations_total: [
    'Looks into the storage after lapsed reservations, by what became of each',
    'outcome',
  ],
} as const;

const GAUGES = {
  quota_reserved_bytes: ['Bytes this instance holds for writes on their way'],
  quota_tenants_over_quota: ['Tenants that hold more than their quota'],
  quota_tenants_near_limit: ['Tenants that hold 80 % of their quota or more'],
  quota_tenant_usage_bytes: ['Usage of the tenants nearest to their limit', 'tenant'],
  quota_tenant_usage_percent: ['The same, in percent of the quota', 'tenant'],
  quota_usage_drift_bytes: ['Drift found of late: counted minus true, signed, of all tenants'],
  quota_usage_drift_cause_bytes: ['The same drift, by what was wrong', 'cause'],
  quota_last_reconcile_timestamp_seconds: ['When this instance has last reconciled a tenant'],
  quota_journal_entries: ['What PostgreSQL has admitted and Redis has not taken yet'],
  quota_rollout_percent: ['Share of tenants that is enforced'],
  quota_store_state: ['0 closed, 1 half-open, 2 open', 'store'],
  quota_enforcement_mode: ['1 for the mode in force', 'mode'],
} as const;

export const CHECK_DURATION = 'quota_check_duration_seconds';

export type CounterName = keyof typeof COUNTERS;
export type GaugeName = keyof typeof GAUGES;

export const counterNames = Object.keys(COUNTERS) as CounterName[];
export const gaugeNames = Object.keys(GAUGES) as GaugeName[];

/** Every metric of the quota, in this registry. Their names and labels are a contract. */
export function metricProviders(registry: Registry): Provider[] {
  const registers = [registry];
  const counters = counterNames.map((name) => {
    const [help, ...labelNames] = COUNTERS[name];
    return makeCounterProvider({ name, help, labelNames, registers });
  });
  const gauges = gaugeNames.map((name) => {
    const [help, ...labelNames] = GAUGES[name];
    return makeGaugeProvider({ name, help, labelNames, registers });
  });
  const duration = makeHistogramProvider({
    name: CHECK_DURATION,
    help: 'Time to decide on a write',
    labelNames: ['source'],
    buckets: CHECK_SECONDS,
    registers,
  });
  return [...counters, ...gauges, duration];
}
