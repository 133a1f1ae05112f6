import type { Cluster, Redis } from 'ioredis';
import { MemoryQuotaStore } from '../adapters/memory/memory-quota-store';
import { MemoryRolloutStore } from '../adapters/memory/memory-rollout-store';
import { MemoryUsageTracker } from '../adapters/memory/memory-usage-tracker';
import { NoDecisions } from '../adapters/memory/no-decisions';
import { PostgresDecisionStore } from '../adapters/postgres/postgres-decision-store';
import { PostgresQuotaBank } from '../adapters/postgres/postgres-quota-bank';
import { PostgresQuotaStore } from '../adapters/postgres/postgres-quota-store';
import { PostgresRolloutStore } from '../adapters/postgres/postgres-rollout-store';
import { PostgresUsageLog } from '../adapters/postgres/postgres-usage-log';
import { PostgresUsageTracker } from '../adapters/postgres/postgres-usage-tracker';
import type { DefectListener } from '../adapters/redis/ledger-scripts';
import { RedisLease } from '../adapters/redis/redis-lease';
import { RedisQuotaCache } from '../adapters/redis/redis-quota-cache';
import { ServerWatch } from '../adapters/redis/server-watch';
import { RedisUsageTracker } from '../adapters/redis/redis-usage-tracker';
import type { QuotaBank } from '../core/bank';
import type { BankUpkeep } from '../core/bank-upkeep';
import type { Breaker, BreakerSigns } from '../core/breaker';
import type { DecisionStore } from '../core/decision-store';
import { GuardedDecisionStore } from '../core/guarded-decisions';
import { GuardedRolloutStore } from '../core/guarded-rollout';
import { GuardedQuotaCache, GuardedQuotaStore } from '../core/guarded-source';
import { guardTracker } from '../core/guarded-tracker';
import { GuardedUsageLog } from '../core/guarded-usage-log';
import { LocalLease, type UpkeepLease } from '../core/lease';
import type { QuotaObserver } from '../core/observer';
import type { SharedQuotaCache } from '../core/quota-source';
import type { QuotaStore } from '../core/quota-store';
import { Reconciler } from '../core/reconciler';
import { StoreBreakers } from '../core/store-breakers';
import type { RolloutStore } from '../core/rollout-store';
import type { UsageLog } from '../core/usage-log';
import type { UsageTracker } from '../core/usage-tracker';
import { buildBank } from './bank';
import type { ResolvedQuotaOptions } from './options';

/** What the module keeps its numbers in, chosen by its options. */
export interface QuotaStores {
  readonly tracker: UsageTracker;
  readonly reconciler: Reconciler;
  readonly lease: UpkeepLease;
  /** Null: there is no bank. */
  readonly bank: QuotaBank | null;
  readonly bankUpkeep: BankUpkeep | null;
  /** Null: there is no server that another one could take the place of. */
  readonly serverWatch: ServerWatch | null;
  readonly quotas: QuotaStore;
  readonly shared: SharedQuotaCache | null;
  readonly rollout: RolloutStore;
  readonly decisions: DecisionStore;
  /** Null: there is no database to keep it in. */
  readonly usageLog: UsageLog | null;
  readonly breakers: StoreBreakers;
}

/** A name no tenant can have taken by accident; reading it leaves no trace in either store. */
const PROBE = 'quota-breaker-probe';

/**
 * Reads that ask a Cluster whether any of it serves. With one of three masters away all of them go to
 * it once in 6,561 times.
 */
const PROBES_OF_CLUSTER = 8;

/** Names, and by that slots, that probes take in turn. */
const PROBE_NAMES = 64;

/** Chooses the adapters, and puts servers behind breakers. Trackers and stores of the user's are left as they are. */
export function buildStores(options: ResolvedQuotaOptions, observer: QuotaObserver): QuotaStores {
  const breakers = new StoreBreakers(observer);
  const lease = leaseOf(options);
  const redis = redisStores(options, observer, breakers);
  const postgres = postgresStores(options, observer, breakers);
  const base = {
    quotas: options.store ?? postgres?.quotas ?? new MemoryQuotaStore(),
    shared: redis?.shared ?? null,
    rollout: postgres?.rollout ?? new MemoryRolloutStore(),
    decisions: postgres?.decisions ?? new NoDecisions(),
    usageLog: postgres?.usageLog ?? null,
    serverWatch: serverWatchOf(options),
    breakers,
    lease,
  };
  if (redis !== undefined && postgres !== undefined && banked(options)) {
    const bank = buildBank(options, { redis, postgres, shared: redis.shared, lease, observer });
    return { ...base, ...bank, bankUpkeep: bank.upkeep };
  }
  const ledger = redis === undefined ? undefined : guardTracker(redis.tracker, redis.breaker);
  const tracker = options.tracker ?? ledger ?? new MemoryUsageTracker();
  const reconciler = new Reconciler(tracker, options.usageSource ?? null, observer, { lease });
  return { ...base, tracker, reconciler, bank: null, bankUpkeep: null };
}

/** Whether Redis admits within what PostgreSQL grants it. */
function banked({ redis, dataSource, tracker, bank }: ResolvedQuotaOptions): boolean {
  return bank && redis !== undefined && dataSource !== undefined && tracker === undefined;
}

function serverWatchOf({ redis, tracker }: ResolvedQuotaOptions): ServerWatch | null {
  return redis === undefined || tracker !== undefined ? null : new ServerWatch(redis);
}

function leaseOf({ redis, redisPrefix: prefix }: ResolvedQuotaOptions): UpkeepLease {
  return redis === undefined ? new LocalLease() : new RedisLease(redis, { prefix });
}

function redisStores(
  options: ResolvedQuotaOptions,
  observer: QuotaObserver,
  breakers: StoreBreakers,
): { tracker: RedisUsageTracker; breaker: Breaker; shared: SharedQuotaCache } | undefined {
  const { redis, redisPrefix: prefix } = options;
  if (redis === undefined) return undefined;
  const onDefect = defectsTo(observer);
  const tracker = new RedisUsageTracker(redis, { prefix, onDefect, bank: banked(options) });
  let probes = 0;
  const read = (): Promise<unknown> => tracker.read(`${PROBE}-${String(probes++ % PROBE_NAMES)}`);
  // Failures in a row say nothing of a Cluster: when one master dies, those who wait for it fail
  // together, and with many of them nobody else was answered in between.
  const readAny = (): Promise<unknown> =>
    Promise.any(Array.from({ length: PROBES_OF_CLUSTER }, read));
  const breaker = breakers.add('redis', {
    ...(redis.isCluster ? { probe: readAny, confirm: readAny } : { probe: read }),
    signs: (signs) => signsOf(redis, signs),
  });
  const shared = new GuardedQuotaCache(new RedisQuotaCache(redis, { prefix }), breaker);
  return { tracker, breaker, shared };
}

function defectsTo(observer: QuotaObserver): DefectListener {
  return (operation, tenant) => {
    observer.emit('error', { operation, error: 'below_zero', tenant });
  };
}

/** The client knows before the calls under way do, which wait for a new connection until their deadline. */
function signsOf(redis: Redis | Cluster, { lost, back }: BreakerSigns): () => void {
  const onClose = (): void => {
    // Closed by whoever owns it: nothing to come back.
    if (redis.status !== 'end') lost(new Error('The connection was closed'));
  };
  redis.on('close', onClose).on('ready', back);
  return () => {
    redis.off('close', onClose).off('ready', back);
  };
}

function postgresStores(
  options: ResolvedQuotaOptions,
  observer: QuotaObserver,
  breakers: StoreBreakers,
):
  | {
      quotas: QuotaStore;
      rollout: RolloutStore;
      decisions: DecisionStore;
      usageLog: UsageLog;
      tracker: PostgresUsageTracker;
      bank: PostgresQuotaBank;
      breaker: Breaker;
    }
  | undefined {
  const { dataSource } = options;
  if (dataSource === undefined) return undefined;
  const quotas = new PostgresQuotaStore(dataSource);
  const breaker = breakers.add('postgres', { probe: () => quotas.load(PROBE) });
  const onDefect = defectsTo(observer);
  return {
    quotas: new GuardedQuotaStore(quotas, breaker),
    rollout: new GuardedRolloutStore(new PostgresRolloutStore(dataSource), breaker),
    decisions: new GuardedDecisionStore(new PostgresDecisionStore(dataSource), breaker),
    usageLog: new GuardedUsageLog(new PostgresUsageLog(dataSource), breaker),
    tracker: new PostgresUsageTracker(dataSource, { onDefect }),
    bank: new PostgresQuotaBank(dataSource, { onDefect }),
    breaker,
  };
}
