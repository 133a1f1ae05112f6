import type { Cluster, Redis } from 'ioredis';
import { MemoryQuotaStore } from '../adapters/memory/memory-quota-store';
import { MemoryUsageTracker } from '../adapters/memory/memory-usage-tracker';
import { PostgresQuotaStore } from '../adapters/postgres/postgres-quota-store';
import type { DefectListener } from '../adapters/redis/ledger-scripts';
import { RedisQuotaCache } from '../adapters/redis/redis-quota-cache';
import { RedisUsageTracker } from '../adapters/redis/redis-usage-tracker';
import type { BreakerSigns } from '../core/breaker';
import { GuardedQuotaCache, GuardedQuotaStore } from '../core/guarded-source';
import { guardTracker } from '../core/guarded-tracker';
import type { QuotaObserver } from '../core/observer';
import type { SharedQuotaCache } from '../core/quota-source';
import type { QuotaStore } from '../core/quota-store';
import { StoreBreakers } from '../core/store-breakers';
import type { UsageTracker } from '../core/usage-tracker';
import type { ResolvedQuotaOptions } from './options';

/** What the module keeps its numbers in, chosen by its options. */
export interface QuotaStores {
  readonly tracker: UsageTracker;
  readonly quotas: QuotaStore;
  readonly shared: SharedQuotaCache | null;
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
  const redis = redisStores(options, observer, breakers);
  return {
    tracker: options.tracker ?? redis?.tracker ?? new MemoryUsageTracker(),
    quotas: options.store ?? postgresStore(options, breakers) ?? new MemoryQuotaStore(),
    shared: redis?.shared ?? null,
    breakers,
  };
}

function redisStores(
  { redis, redisPrefix: prefix }: ResolvedQuotaOptions,
  observer: QuotaObserver,
  breakers: StoreBreakers,
): { tracker: UsageTracker; shared: SharedQuotaCache } | undefined {
  if (redis === undefined) return undefined;
  const onDefect: DefectListener = (operation, tenant) =>
    observer.emit('error', { operation, error: 'below_zero', tenant });
  const tracker = new RedisUsageTracker(redis, { prefix, onDefect });
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
  return {
    tracker: guardTracker(tracker, breaker),
    shared: new GuardedQuotaCache(new RedisQuotaCache(redis, { prefix }), breaker),
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

function postgresStore(
  { dataSource, store }: ResolvedQuotaOptions,
  breakers: StoreBreakers,
): QuotaStore | undefined {
  if (dataSource === undefined || store !== undefined) return undefined;
  const quotas = new PostgresQuotaStore(dataSource);
  const breaker = breakers.add('postgres', { probe: () => quotas.load(PROBE) });
  return new GuardedQuotaStore(quotas, breaker);
}
