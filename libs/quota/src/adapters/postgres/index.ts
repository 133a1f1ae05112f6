export { quotaEntities, quotaMigrations } from './migrations';
export { quotaPostgresOptions } from './postgres-options';
export { PostgresQuotaBank, type PostgresQuotaBankOptions } from './postgres-quota-bank';
export { PostgresQuotaStore } from './postgres-quota-store';
export { PostgresUsageTracker, type PostgresUsageTrackerOptions } from './postgres-usage-tracker';
export { QuotaChange, type QuotaSnapshot } from './quota-change.entity';
export { TenantCacheMetric } from './tenant-cache-metric.entity';
export { TenantCacheQuota } from './tenant-cache-quota.entity';
