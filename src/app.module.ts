import { Module, type DynamicModule, type Type } from '@nestjs/common';
import { QuotaModule } from '@app/quota';
import { DataSource } from 'typeorm';
import { BillingModule } from './billing/billing.module';
import { CacheModule } from './cache/cache.module';
import { SettingsModule } from './config/settings.module';
import type { Settings } from './config/settings.schema';
import { DatabaseModule } from './database/database.module';
import { ShutdownDeadline } from './http/shutdown-deadline';
import { OpsModule } from './ops/ops.module';
import { QuotasModule } from './quotas/quotas.module';
import { quotaOptions } from './quotas/quota-options';
import { DemoTenants } from './quotas/demo-tenants';
import { RedisModule } from './redis/redis.module';
import { TenancyModule } from './tenancy/tenancy.module';

/** The cache service. */
@Module({})
export class AppModule {
  static async register(
    settings: Settings,
    more: readonly (Type | DynamicModule)[] = [],
  ): Promise<DynamicModule> {
    return {
      module: AppModule,
      imports: [
        await SettingsModule.of(settings),
        OpsModule.register(),
        DatabaseModule,
        RedisModule,
        TenancyModule,
        QuotaModule.forRootAsync({
          inject: [SettingsModule.TOKEN, DataSource, RedisModule.TOKEN],
          useFactory: quotaOptions,
        }),
        CacheModule,
        QuotasModule,
        BillingModule,
        ...more,
      ],
      providers: [DemoTenants, ShutdownDeadline],
    };
  }
}
