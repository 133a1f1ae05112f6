import { Module } from '@nestjs/common';
import { CacheModule } from '../cache/cache.module';
import { AdminController } from './admin.controller';
import { EvictionController } from './eviction.controller';
import { QuotaController } from './quota.controller';
import { RolloutController } from './rollout.controller';
import { SimulationController } from './simulation.controller';

/** Quotas over HTTP: a tenant's own, and everybody's for admins. */
@Module({
  imports: [CacheModule],
  controllers: [
    QuotaController,
    AdminController,
    EvictionController,
    RolloutController,
    SimulationController,
  ],
})
export class QuotasModule {}
