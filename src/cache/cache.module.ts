import { Module } from '@nestjs/common';
import {
  QuotaCacheService,
  QuotaChecker,
  QuotaRollout,
  Reconciler,
  UsageTracker,
  ValueTracker,
} from '@app/quota';
import { DataSource } from 'typeorm';
import { SettingsModule } from '../config/settings.module';
import type { Settings } from '../config/settings.schema';
import { CacheController } from './cache.controller';
import { CacheStore } from './cache-store';
import { LedgerCacheStore } from './ledger-cache-store';
import { PostgresCacheStore } from './postgres-cache-store';
import { PostgresEntryRepository } from './postgres-entry-repository';
import { PostgresUpkeep } from './postgres-upkeep';
import { QuotaStanding } from './quota-standing';
import { SuspectTenants } from './suspect-tenants';

/** Values under keys, kept where CACHE_STORE says. */
@Module({
  controllers: [CacheController],
  providers: [
    QuotaStanding,
    PostgresUpkeep,
    {
      provide: PostgresEntryRepository,
      inject: [DataSource],
      useFactory: (dataSource: DataSource) => new PostgresEntryRepository(dataSource),
    },
    {
      provide: SuspectTenants,
      inject: [Reconciler],
      useFactory: (reconciler: Reconciler) => new SuspectTenants(reconciler),
    },
    {
      provide: LedgerCacheStore,
      inject: [UsageTracker, QuotaChecker, QuotaCacheService, QuotaRollout],
      useFactory: (
        tracker: UsageTracker,
        checker: QuotaChecker,
        quotas: QuotaCacheService,
        rollout: QuotaRollout,
      ) => {
        if (!(tracker instanceof ValueTracker)) throw new Error('The ledger keeps no values.');
        return new LedgerCacheStore(tracker, checker, quotas, rollout);
      },
    },
    {
      provide: PostgresCacheStore,
      inject: [PostgresEntryRepository, UsageTracker, QuotaChecker, Reconciler, SuspectTenants],
      useFactory: (...parts: ConstructorParameters<typeof PostgresCacheStore>) =>
        new PostgresCacheStore(...parts),
    },
    {
      provide: CacheStore,
      inject: [SettingsModule.TOKEN, LedgerCacheStore, PostgresCacheStore],
      useFactory: (
        settings: Settings,
        ledger: LedgerCacheStore,
        postgres: PostgresCacheStore,
      ): CacheStore => (settings.CACHE_STORE === 'postgres' ? postgres : ledger),
    },
  ],
  exports: [CacheStore],
})
export class CacheModule {}
