// The only door of the library.

export {
  QuotaBank,
  type BankStanding,
  type FoldBatch,
  type FoldItem,
  type Grant,
  type GrantReply,
  type GrantRequest,
  type JournalDepth,
} from './core/bank';
export { BYTES_PER_MB, MAX_BYTES, bytesToMb, formatMb, mbToBytes } from './core/bytes';
export type { StoreState } from './core/breaker';
export { Budget, type StepOptions } from './core/budget';
export { QuotaDecision } from './core/decision';
export {
  DecisionStore,
  type DecisionBounds,
  type DecisionCoverage,
  type DecisionCursor,
  type DecisionPage,
  type DecisionRecord,
  type Span,
  type TenantImpact,
} from './core/decision-store';
export { errorEvent } from './core/error-event';
export {
  InvalidOptionsError,
  InvalidTenantError,
  InvalidWriteError,
  KillSwitchError,
  QuotaConflictError,
  QuotaError,
  QuotaExceededError,
  QuotaUnavailableError,
  UndecidedError,
  ReservationConflictError,
  RolloutConflictError,
  UnknownTenantError,
  WriteBouncedError,
  type InvalidInput,
  type QuotaErrorCode,
  type StoreContact,
} from './core/errors';
export { lateRefusal } from './core/judgement';
export { LocalLease, UpkeepLease, type HeldLease } from './core/lease';
export {
  QuotaObserver,
  type CacheTier,
  type CheckEvent,
  type DriftCauses,
  type QuotaEvents,
  type StoreName,
} from './core/observer';
export { PLAN_NAMES, QUOTA_PLANS, planWith, type PlanLimits, type PlanName } from './core/plans';
export { limitsOf, type QuotaLimits, type QuotaMode, type TenantQuota } from './core/quota';
export { QuotaAdmin } from './core/quota-admin';
export { QuotaCacheService, type QuotaCacheOptions } from './core/quota-cache.service';
export { QuotaChecker, type QuotaCheckerOptions } from './core/quota-checker';
export {
  QuotaExplainer,
  type ConfigurationCopy,
  type ModeExplanation,
  type QuotaExplanation,
} from './core/quota-explainer';
export {
  QuotaRollout,
  overallMode,
  type RolloutOptions,
  type RolloutSource,
  type RolloutSources,
} from './core/quota-rollout';
export { QuotaSource, SharedQuotaCache, type QuotaRow } from './core/quota-source';
export {
  MAX_QUOTA_MB,
  QuotaStore,
  type ChangeOptions,
  type QuotaChangeRecord,
  type QuotaFilter,
  type QuotaListQuery,
  type QuotaPage,
  type QuotaPatch,
  type QuotaSettings,
} from './core/quota-store';
export { QuotaSystem, type LastReconcile, type QuotaSystemParts } from './core/quota-system';
export { TenantReplay, type ProposedLimit, type ReplayedRefusal } from './core/replay';
export { csvStream, type CsvPage, type CsvRow } from './core/reports/csv';
export { formatPeriod, parsePeriod } from './core/reports/period';
export { csvReport, jsonPage, parseCursor, type Report } from './core/reports/report';
export { usageReport, type UsageReportRow } from './core/reports/usage-report';
export { Reconciler, type ReconcilerOptions, type ReconcileReport } from './core/reconciler';
export {
  Reservation,
  type CommitDetails,
  type ReservationFields,
  type ReservationOptions,
  type ReservationState,
} from './core/reservation';
export {
  modeReason,
  resolveMode,
  rolloutBucket,
  type ModeReason,
  type Rollout,
} from './core/rollout';
export { RolloutAdmin, type RolloutReport } from './core/rollout-admin';
export { MAX_ROLLOUT_HISTORY, MAX_ROLLOUT_TENANTS, rolloutFields } from './core/rollout-change';
export {
  RolloutStore,
  type RolloutChange,
  type RolloutChangeOptions,
  type RolloutPatch,
  type RolloutRow,
  type RolloutValues,
} from './core/rollout-store';
export {
  Simulation,
  type SimulatedTenant,
  type SimulationQuery,
  type SimulationReport,
} from './core/simulation';
export { parseSince, SINCE_ALLOWED } from './core/since';
export { StoreBreakers } from './core/store-breakers';
export { TENANT_ID_PATTERN, parseTenantId } from './core/tenant';
export type { QuotaSpan, QuotaTracer, SpanFacts, SpanName } from './core/tracing';
export {
  UsageSource,
  UsageTracker,
  ValueTracker,
  usedBytes,
  type CommitReply,
  type CommitRequest,
  type EntryCorrection,
  type KeyView,
  type LapsedHold,
  type LedgerEntry,
  type RefundReply,
  type RefundRequest,
  type ReleaseReply,
  type RemoveReply,
  type RemoveRequest,
  type ReserveReply,
  type ReserveRequest,
  type SourceEntry,
  type StoredValue,
  type SweepReply,
  type TenantPage,
  type Usage,
} from './core/usage-tracker';
export {
  UsageLog,
  type CacheMetricsQuery,
  type CacheMetricsRecord,
  type CacheRequestCounts,
  type CountBatch,
  type UsageCounts,
  type UsageCursor,
  type UsageLogPage,
  type UsagePeriod,
  type UsageQuery,
  type UsageRecord,
} from './core/usage-log';
export { UsageMeter, type UsageMeterOptions } from './core/usage-meter';
export { UsageRecorder, type CacheRequest, type UsageRecorderOptions } from './core/usage-recorder';
export { UsageUpkeep, type UsageUpkeepOptions } from './core/usage-upkeep';
export type {
  AdmittedVerdict,
  QuotaForecast,
  QuotaNumbers,
  QuotaStatus,
  QuotaVerdict,
  RefusedVerdict,
} from './core/verdict';
export {
  quotaAnswer,
  reconcileAnswer,
  usageAnswer,
  type QuotaAnswer,
  type ReconcileAnswer,
  type UsageAnswer,
} from './core/views/quota-view';
export {
  impactAnswer,
  rolloutAnswer,
  rolloutChangeAnswer,
  type CoverageAnswer,
  type ImpactAnswer,
  type ImpactSummaryAnswer,
  type RolloutAnswer,
  type RolloutChangeAnswer,
  type RolloutValuesAnswer,
  type TenantImpactAnswer,
} from './core/views/rollout-view';
export {
  simulationAnswer,
  type ProposalAnswer,
  type SimulatedRefusalAnswer,
  type SimulatedTenantAnswer,
  type SimulationAnswer,
  type SimulationSummaryAnswer,
} from './core/views/simulation-view';
export {
  MAX_KEY_BYTES,
  MAX_TTL_SECONDS,
  parseKey,
  parseSize,
  parseSizeMb,
  parseTtl,
  parseWrite,
  type QuotaWrite,
} from './core/write';

export { MemoryRolloutStore } from './adapters/memory/memory-rollout-store';
export { MemoryQuotaStore } from './adapters/memory/memory-quota-store';
export { MemoryUsageTracker } from './adapters/memory/memory-usage-tracker';
export { postgresContact } from './adapters/postgres/database-errors';
export { quotaEntities, quotaMigrations } from './adapters/postgres/migrations';
export { PostgresDecisionStore } from './adapters/postgres/postgres-decision-store';
export { PostgresQuotaBank } from './adapters/postgres/postgres-quota-bank';
export { PostgresQuotaStore } from './adapters/postgres/postgres-quota-store';
export { PostgresRolloutStore } from './adapters/postgres/postgres-rollout-store';
export { PostgresUsageLog } from './adapters/postgres/postgres-usage-log';
export { PostgresUsageTracker } from './adapters/postgres/postgres-usage-tracker';
export { QuotaChange } from './adapters/postgres/quota-change.entity';
export { QuotaDecisionRow } from './adapters/postgres/quota-decision.entity';
export { QuotaRolloutChange, QuotaRolloutRow } from './adapters/postgres/quota-rollout.entity';
export { quotaPostgresOptions } from './adapters/postgres/postgres-options';
export { QuotaUsageSample } from './adapters/postgres/quota-usage-sample.entity';
export { TenantCacheMetric } from './adapters/postgres/tenant-cache-metric.entity';
export { TenantCacheQuota } from './adapters/postgres/tenant-cache-quota.entity';
export { RedisQuotaCache } from './adapters/redis/redis-quota-cache';
export { createRedisClient } from './adapters/redis/connect';
export type { RedisClient } from './adapters/redis/redis-calls';
export { quotaClusterOptions, quotaRedisOptions } from './adapters/redis/redis-options';
export {
  parseRedisUrl,
  REDIS_URL_ALLOWED,
  RedisUrlError,
  type RedisAddress,
  type RedisTarget,
} from './adapters/redis/redis-url';
export { RedisUsageTracker } from './adapters/redis/redis-usage-tracker';

export { BodyAbortedError, BodyTooLargeError, readBody } from './nest/body-reader';
export { EnforceCacheQuota, SkipCacheQuota } from './nest/decorators';
export {
  QuotaExceededException,
  QuotaHttpException,
  QuotaUnavailableException,
  toHttpException,
  unavailabilityOf,
  type ProblemDocument,
} from './nest/exceptions';
export { quotaHeaders, type HeaderInput } from './nest/headers';
export type { QuotaRequest } from './nest/http-exchange';
export type { EnforceCacheQuotaOptions } from './nest/metadata';
export { quotaHeaderSchemas } from './nest/openapi';
export { QUOTA_OPTIONS, type QuotaModuleOptions, type ResolvedQuotaOptions } from './nest/options';
export { CurrentQuota, QuotaContext, quotaContextOf } from './nest/quota-context';
export { QuotaExceptionFilter } from './nest/quota-exception.filter';
export { QuotaGuard } from './nest/quota.guard';
export { QuotaHealthIndicator, type QuotaHealthResult } from './nest/quota.health';
export { QuotaInterceptor } from './nest/quota.interceptor';
export {
  QuotaModule,
  type QuotaModuleAsyncOptions,
  type QuotaOptionsFactory,
} from './nest/quota.module';
export {
  fixedSize,
  keyFromParam,
  sizeFromBody,
  sizeFromContentLength,
  sizeFromField,
  tenantFromHeader,
  tenantFromParam,
  tenantFromUser,
  type KeyResolver,
  type Resolver,
  type ResolverEnvironment,
  type SizeResolver,
  type TenantResolver,
  type TtlResolver,
} from './nest/resolvers';
