import { tenantFromUser, type QuotaModuleOptions } from '@app/quota';
import type { DataSource } from 'typeorm';
import { PostgresEntryRepository } from '../cache/postgres-entry-repository';
import type { Settings } from '../config/settings.schema';
import type { RedisClient } from '../redis/redis-client';
import { TENANT_PATH } from '../tenancy/identity';

/** The library's options as the settings have them. */
export function quotaOptions(
  settings: Settings,
  dataSource: DataSource,
  redis: RedisClient | null,
): QuotaModuleOptions {
  return {
    enabled: settings.QUOTA_ENFORCEMENT_ENABLED,
    killSwitch: settings.quotaKillSwitch,
    logOnly: settings.QUOTA_ENFORCEMENT_LOG_ONLY,
    rolloutPercent: settings.QUOTA_ROLLOUT_PERCENT,
    rolloutTenants: [...settings.QUOTA_ROLLOUT_TENANTS],
    rolloutRefreshSeconds: settings.QUOTA_ROLLOUT_REFRESH_SECONDS,
    recordDecisions: settings.QUOTA_RECORD_DECISIONS,
    decisionsMaxRows: settings.QUOTA_DECISIONS_MAX_ROWS,
    decisionsMaxAgeHours: settings.QUOTA_DECISIONS_MAX_AGE_HOURS,
    quotaCacheTtlSeconds: settings.QUOTA_CACHE_TTL_SECONDS,
    maxWriteSizeMb: settings.QUOTA_MAX_WRITE_SIZE_MB,
    defaultQuotaMb: settings.QUOTA_DEFAULT_QUOTA_MB,
    unknownTenant: settings.QUOTA_UNKNOWN_TENANT,
    excludedPaths: [...settings.QUOTA_EXCLUDED_PATHS],
    reservationTtlSeconds: settings.QUOTA_RESERVATION_TTL_SECONDS,
    grantChunkMb: settings.QUOTA_GRANT_CHUNK_MB,
    onOutage: settings.QUOTA_ON_OUTAGE,
    outageBudgetMb: settings.QUOTA_OUTAGE_BUDGET_MB,
    usageSyncSeconds: settings.QUOTA_USAGE_SYNC_SECONDS,
    usageFlushSeconds: settings.QUOTA_USAGE_FLUSH_SECONDS,
    usageRetentionDays: settings.QUOTA_USAGE_RETENTION_DAYS,
    rateLimitHeaders: settings.QUOTA_RATE_LIMIT_HEADERS,
    traceTenantIds: settings.QUOTA_TRACE_TENANT_IDS,
    // Only what a guard of ours has verified; nothing of the request itself.
    tenant: tenantFromUser(TENANT_PATH),
    dataSource,
    // Values in Redis go and come with it.
    bank: settings.CACHE_STORE === 'postgres',
    ...(redis !== null && { redis }),
    ...(settings.CACHE_STORE === 'postgres' && {
      usageSource: new PostgresEntryRepository(dataSource),
    }),
  };
}
