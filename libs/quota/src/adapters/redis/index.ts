export { DEFAULT_PREFIX, RedisKeys } from './keys';
export type { DefectListener } from './ledger-scripts';
export { DEFAULT_DEADLINE_MS, type RedisClient } from './redis-calls';
export { RedisLease } from './redis-lease';
export { quotaClusterOptions, quotaRedisOptions } from './redis-options';
export { RedisQuotaCache, type RedisQuotaCacheOptions } from './redis-quota-cache';
export { ServerWatch } from './server-watch';
export { RedisUsageTracker, type RedisUsageTrackerOptions } from './redis-usage-tracker';
