import type { Provider } from '@nestjs/common';
import { DecisionRecorder } from '../core/decision-recorder';
import { DecisionStore } from '../core/decision-store';
import { UpkeepLease } from '../core/lease';
import { loadTracer } from '../adapters/opentelemetry/load-tracer';
import { QuotaObserver } from '../core/observer';
import { QuotaAdmin } from '../core/quota-admin';
import { QuotaCacheService } from '../core/quota-cache.service';
import { QuotaChecker } from '../core/quota-checker';
import { QuotaExplainer } from '../core/quota-explainer';
import { QuotaRollout } from '../core/quota-rollout';
import { QuotaStore } from '../core/quota-store';
import { QuotaSystem } from '../core/quota-system';
import { Reconciler } from '../core/reconciler';
import { RolloutAdmin } from '../core/rollout-admin';
import { Simulation } from '../core/simulation';
import { StoreBreakers } from '../core/store-breakers';
import type { QuotaTracer } from '../core/tracing';
import { UsageLog } from '../core/usage-log';
import { UsageMeter } from '../core/usage-meter';
import { UsageRecorder } from '../core/usage-recorder';
import { UsageTracker } from '../core/usage-tracker';
import { UsageUpkeep } from '../core/usage-upkeep';
import { QUOTA_OPTIONS, type ResolvedQuotaOptions } from './options';
import { QuotaExceptionFilter } from './quota-exception.filter';
import { QuotaHealthIndicator } from './quota.health';
import { BANK_UPKEEP, QuotaLifecycle, SERVER_WATCH } from './quota.lifecycle';
import { QuotaGuard } from './quota.guard';
import { QuotaInterceptor } from './quota.interceptor';
import { QuotaRoutes } from './routes';
import { buildStores, type QuotaStores } from './stores';

const STORES = Symbol('QuotaStores');
const TRACER = Symbol('QuotaTracer');

/** With stores.ts the composition root: the only place that names concrete adapters. */
export const quotaProviders: Provider[] = [
  QuotaObserver,
  {
    provide: QuotaRollout,
    inject: [QUOTA_OPTIONS],
    useFactory: (options: ResolvedQuotaOptions) => new QuotaRollout(options),
  },
  {
    provide: STORES,
    inject: [QUOTA_OPTIONS, QuotaObserver],
    useFactory: buildStores,
  },
  {
    provide: UsageTracker,
    inject: [STORES],
    useFactory: ({ tracker }: QuotaStores) => tracker,
  },
  {
    provide: QuotaStore,
    inject: [STORES],
    useFactory: ({ quotas }: QuotaStores) => quotas,
  },
  {
    provide: StoreBreakers,
    inject: [STORES],
    useFactory: ({ breakers }: QuotaStores) => breakers,
  },
  {
    provide: QuotaSystem,
    inject: [QUOTA_OPTIONS, STORES, QuotaObserver],
    useFactory: (
      { onOutage }: ResolvedQuotaOptions,
      { tracker, breakers, bank }: QuotaStores,
      observer: QuotaObserver,
    ) => new QuotaSystem({ tracker, breakers, bank, observer, hasBudget: onOutage === 'allow' }),
  },
  {
    provide: TRACER,
    inject: [QUOTA_OPTIONS],
    useFactory: ({ traceTenantIds }: ResolvedQuotaOptions) =>
      loadTracer({ tenantIds: traceTenantIds }),
  },
  {
    provide: QuotaCacheService,
    inject: [QUOTA_OPTIONS, STORES, QuotaObserver],
    useFactory: (options: ResolvedQuotaOptions, stores: QuotaStores, observer: QuotaObserver) =>
      new QuotaCacheService(
        stores.quotas,
        stores.shared,
        {
          ttlMs: options.quotaCacheTtlSeconds * 1_000,
          maxTenants: options.quotaCacheMaxTenants,
          unknownTenant: options.unknownTenant,
          defaultQuotaMb: options.defaultQuotaMb,
        },
        observer,
      ),
  },
  {
    provide: RolloutAdmin,
    inject: [QUOTA_OPTIONS, STORES, QuotaRollout, QuotaObserver],
    useFactory: (
      { rolloutRefreshSeconds }: ResolvedQuotaOptions,
      { rollout: store, shared }: QuotaStores,
      rollout: QuotaRollout,
      observer: QuotaObserver,
    ) => new RolloutAdmin({ store, rollout, shared, observer }, rolloutRefreshSeconds * 1_000),
  },
  {
    provide: DecisionStore,
    inject: [STORES],
    useFactory: ({ decisions }: QuotaStores) => decisions,
  },
  {
    provide: DecisionRecorder,
    inject: [QUOTA_OPTIONS, DecisionStore, QuotaObserver],
    useFactory: (
      options: ResolvedQuotaOptions,
      store: DecisionStore,
      observer: QuotaObserver,
    ): DecisionRecorder | null =>
      options.recordDecisions
        ? new DecisionRecorder(store, observer, {
            maxRows: options.decisionsMaxRows,
            maxAgeMs: options.decisionsMaxAgeHours * 3_600_000,
          })
        : null,
  },
  {
    provide: Simulation,
    inject: [DecisionStore],
    useFactory: (store: DecisionStore) => new Simulation(store),
  },
  {
    provide: QuotaChecker,
    inject: [QUOTA_OPTIONS, QuotaCacheService, UsageTracker, QuotaRollout, QuotaObserver, TRACER],
    useFactory: (
      options: ResolvedQuotaOptions,
      quotas: QuotaCacheService,
      tracker: UsageTracker,
      rollout: QuotaRollout,
      observer: QuotaObserver,
      tracer: QuotaTracer | null,
    ) =>
      new QuotaChecker(
        quotas,
        tracker,
        () => rollout.current,
        {
          maxWriteBytes: options.maxWriteBytes,
          reservationTtlMs: options.reservationTtlSeconds * 1_000,
          keepLapsed: options.usageSource !== undefined,
        },
        observer,
        tracer,
      ),
  },
  {
    provide: UpkeepLease,
    inject: [STORES],
    useFactory: ({ lease }: QuotaStores) => lease,
  },
  {
    provide: Reconciler,
    inject: [STORES],
    useFactory: ({ reconciler }: QuotaStores) => reconciler,
  },
  {
    provide: BANK_UPKEEP,
    inject: [STORES],
    useFactory: ({ bankUpkeep }: QuotaStores) => bankUpkeep,
  },
  {
    provide: SERVER_WATCH,
    inject: [STORES],
    useFactory: ({ serverWatch }: QuotaStores) => serverWatch,
  },
  {
    provide: UsageUpkeep,
    inject: [QUOTA_OPTIONS, UsageTracker, QuotaStore, Reconciler, UpkeepLease, QuotaObserver],
    useFactory: (
      options: ResolvedQuotaOptions,
      tracker: UsageTracker,
      store: QuotaStore,
      reconciler: Reconciler,
      lease: UpkeepLease,
      observer: QuotaObserver,
    ) =>
      new UsageUpkeep(
        { tracker, store, reconciler, lease, observer },
        {
          sweepMs: options.sweepSeconds * 1_000,
          usageSyncMs: options.usageSyncSeconds * 1_000,
          reconcileMs: options.reconcileSeconds * 1_000,
        },
      ),
  },
  {
    provide: UsageLog,
    inject: [STORES],
    useFactory: ({ usageLog }: QuotaStores) => usageLog,
  },
  {
    provide: UsageRecorder,
    inject: [QUOTA_OPTIONS, STORES, QuotaObserver],
    useFactory: (
      { usageFlushSeconds }: ResolvedQuotaOptions,
      { usageLog }: QuotaStores,
      observer: QuotaObserver,
    ) =>
      new UsageRecorder(usageFlushSeconds === 0 ? null : usageLog, observer, {
        flushMs: usageFlushSeconds * 1_000,
      }),
  },
  {
    provide: UsageMeter,
    inject: [QUOTA_OPTIONS, STORES, QuotaObserver],
    useFactory: (
      { usageSyncSeconds, usageRetentionDays }: ResolvedQuotaOptions,
      { tracker, usageLog, lease }: QuotaStores,
      observer: QuotaObserver,
    ) =>
      new UsageMeter(
        { tracker, log: usageLog, lease, observer },
        { intervalMs: usageSyncSeconds * 1_000, retentionDays: usageRetentionDays },
      ),
  },
  {
    provide: QuotaAdmin,
    inject: [QuotaStore, QuotaCacheService, UsageTracker, Reconciler, QuotaObserver],
    useFactory: (
      store: QuotaStore,
      quotas: QuotaCacheService,
      tracker: UsageTracker,
      reconciler: Reconciler,
      observer: QuotaObserver,
    ) => new QuotaAdmin(store, quotas, tracker, reconciler, observer),
  },
  {
    provide: QuotaExplainer,
    inject: [STORES, QuotaCacheService, QuotaRollout, QuotaSystem],
    useFactory: (
      { quotas: source, tracker, breakers }: QuotaStores,
      quotas: QuotaCacheService,
      rollout: QuotaRollout,
      system: QuotaSystem,
    ) => new QuotaExplainer({ quotas, source, tracker, rollout, breakers, system }),
  },
  QuotaLifecycle,
  QuotaRoutes,
  QuotaGuard,
  QuotaInterceptor,
  QuotaExceptionFilter,
  QuotaHealthIndicator,
];

/** What an application may inject. */
export const quotaExports = [
  QUOTA_OPTIONS,
  QuotaObserver,
  QuotaRollout,
  UsageTracker,
  QuotaStore,
  StoreBreakers,
  QuotaSystem,
  QuotaCacheService,
  QuotaChecker,
  Reconciler,
  RolloutAdmin,
  DecisionStore,
  Simulation,
  UsageUpkeep,
  UsageLog,
  UsageRecorder,
  UsageMeter,
  QuotaAdmin,
  QuotaExplainer,
  QuotaRoutes,
  QuotaGuard,
  QuotaInterceptor,
  QuotaExceptionFilter,
  QuotaHealthIndicator,
];
