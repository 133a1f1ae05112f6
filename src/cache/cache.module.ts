import { Module } from '@nestjs/common';
import {
  QuotaCacheService,
  QuotaChecker,
  QuotaRollout,
  Reconciler,
  StoreBreakers,
  UsageTracker,
  ValueTracker,
} from '@app/quota';
import { DataSource } from 'typeorm';
import { SettingsModule } from '../config/settings.module';
import type { Settings } from '../config/settings.schema';
import { CacheController } from './cache.controller';
import { CacheStore } from './cache-store';
import { Eviction } from './eviction';
import { EvictionTrail } from './eviction-trail';
import { LedgerCacheStore } from './ledger-cache-store';
import { PostgresCacheStore } from './postgres-cache-store';
import { PostgresEntryRepository } from './postgres-entry-repository';
import { PostgresUpkeep } from './postgres-upkeep';
import { QuotaStanding } from './quota-standing';
import { SuspectTenants } from './suspect-tenants';
import { ValueDatabase } from './value-database';

/** Values under keys, kept where CACHE_STORE says. */
@Module({
  controllers: [CacheController],
  providers: [
    QuotaStanding,
    Eviction,
    EvictionTrail,
    PostgresUpkeep,
    {
      provide: ValueDatabase,
      inject: [SettingsModule.TOKEN, DataSource],
      useFactory: (settings: Settings, shared: DataSource) => ValueDatabase.open(settings, shared),
    },
    {
      provide: PostgresEntryRepository,
      inject: [ValueDatabase, StoreBreakers],
      useFactory: ({ dataSource, embedded }: ValueDatabase, breakers: StoreBreakers) =>
        new PostgresEntryRepository(dataSource, embedded ? { patient: true } : { breakers }),
    },
    {
      provide: SuspectTenants,
      inject: [Reconciler],
      useFactory: (reconciler: Reconciler) => new SuspectTenants(reconciler),
    },
    {
      provide: CacheStore,
      inject: [
        ...[SettingsModule.TOKEN, UsageTracker, QuotaChecker, QuotaCacheService, QuotaRollout],
        ...[Reconciler, PostgresEntryRepository, SuspectTenants],
      ],
      useFactory: (
        { CACHE_STORE }: Settings,
        tracker: UsageTracker,
        checker: QuotaChecker,
        quotas: QuotaCacheService,
        rollout: QuotaRollout,
        reconciler: Reconciler,
        entries: PostgresEntryRepository,
        suspects: SuspectTenants,
      ): CacheStore => {
        if (CACHE_STORE === 'postgres') {
          return new PostgresCacheStore(entries, tracker, checker, reconciler, suspects);
        }
        if (!(tracker instanceof ValueTracker)) throw new Error('The ledger keeps no values.');
        return new LedgerCacheStore(tracker, checker, quotas, rollout);
      },
    },
  ],
  exports: [CacheStore, Eviction, EvictionTrail],
})
export class CacheModule {}
