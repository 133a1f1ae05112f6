import {
  Budget,
  overallMode,
  type DriftCauses,
  type QuotaChecker,
  type QuotaRollout,
  type QuotaSystem,
  type StoreBreakers,
  type StoreName,
  type StoreState,
} from '@app/quota';
import type { DataSource } from 'typeorm';
import type { RedisClient } from '../redis/redis-client';
import type { RecentDrift } from './drift';
import { STATES, type Gauges } from './quota-metrics';
import { readTenantFigures } from './tenant-figures';

/** What the gauges are read from when Prometheus asks. */
export interface GaugeSources {
  readonly checker: QuotaChecker;
  readonly rollout: QuotaRollout;
  readonly breakers: StoreBreakers;
  readonly system: QuotaSystem;
  readonly drift: RecentDrift;
  readonly dataSource: DataSource;
  readonly redis: RedisClient | null;
  /** How many tenants are named; 0: none. */
  readonly topTenants: number;
}

const CAUSES: Readonly<Record<keyof DriftCauses, string>> = {
  missingBytes: 'missing',
  extraBytes: 'extra',
  wrongSizeBytes: 'wrong_size',
  recountBytes: 'recount',
};

const MODES = ['off', 'shadow', 'enforce'] as const;
const JOURNAL_MS = 1_000;

/**
 * Sets the gauges to how things stand at this moment, within a second. Never throws: what cannot be
 * read now has no sample, since an old number would look like a true one.
 */
export async function readGauges(gauges: Gauges, sources: GaugeSources): Promise<void> {
  readOwn(gauges, sources);
  const [reached] = await Promise.all([readTenants(gauges, sources), readJournal(gauges, sources)]);
  const { redis, breakers } = sources;
  const states = breakers.states();
  const set = (store: StoreName, isReached: boolean): void => {
    gauges.quota_store_state.set({ store }, stateValue(states[store], isReached));
  };
  if (redis !== null) set('redis', redis.status === 'ready');
  set('postgres', reached);
}

/** A breaker that nobody has called says nothing of a store that has just been lost. */
export function stateValue(state: StoreState = 'closed', reached: boolean): number {
  return reached ? STATES[state] : STATES.open;
}

/** What this process knows without asking anybody. */
function readOwn(gauges: Gauges, { checker, rollout, drift, system }: GaugeSources): void {
  gauges.quota_reserved_bytes.set(checker.reservedBytes);
  const inForce = overallMode(rollout.current);
  for (const mode of MODES) gauges.quota_enforcement_mode.set({ mode }, mode === inForce ? 1 : 0);
  gauges.quota_rollout_percent.set(inForce === 'enforce' ? rollout.current.percent : 0);
  const { driftBytes, causes } = drift.sum();
  gauges.quota_usage_drift_bytes.set(driftBytes);
  for (const [name, cause] of Object.entries(CAUSES)) {
    gauges.quota_usage_drift_cause_bytes.set({ cause }, causes[name as keyof DriftCauses]);
  }
  const { lastReconcile } = system;
  if (lastReconcile === null) gauges.quota_last_reconcile_timestamp_seconds.remove();
  else gauges.quota_last_reconcile_timestamp_seconds.set(lastReconcile.at / 1_000);
}

/** False: PostgreSQL does not answer. */
async function readTenants(gauges: Gauges, sources: GaugeSources): Promise<boolean> {
  const { dataSource, topTenants } = sources;
  // Who is not among them any more must not stay.
  gauges.quota_tenant_usage_bytes.reset();
  gauges.quota_tenant_usage_percent.reset();
  try {
    const { over, near, top } = await readTenantFigures(dataSource, topTenants);
    gauges.quota_tenants_over_quota.set(over);
    gauges.quota_tenants_near_limit.set(near);
    for (const { tenant, bytes, percent } of top) {
      gauges.quota_tenant_usage_bytes.set({ tenant }, bytes);
      gauges.quota_tenant_usage_percent.set({ tenant }, percent);
    }
    return true;
  } catch {
    gauges.quota_tenants_over_quota.remove();
    gauges.quota_tenants_near_limit.remove();
    return false;
  }
}

async function readJournal(gauges: Gauges, { system }: GaugeSources): Promise<void> {
  try {
    const journal = await new Budget(JOURNAL_MS).wait('journal', system.journal());
    if (journal !== null) {
      gauges.quota_journal_entries.set(journal.entries);
      return;
    }
  } catch {
    // No sample, as without a bank.
  }
  gauges.quota_journal_entries.remove();
}
