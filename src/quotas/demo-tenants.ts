import { Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { QUOTA_PLANS, QuotaAdmin, QuotaConflictError, type PlanLimits } from '@app/quota';
import { InjectSettings } from '../config/settings.module';
import type { Settings } from '../config/settings.schema';

/** A tenant of each plan in the embedded database, to try the service with. What is there stays as it is. */
@Injectable()
export class DemoTenants implements OnApplicationBootstrap {
  private readonly logger = new Logger('DemoTenants');

  constructor(
    private readonly admin: QuotaAdmin,
    @InjectSettings() private readonly settings: Settings,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    if (this.settings.DATABASE_URL !== undefined) return;
    for (const [plan, limits] of Object.entries(QUOTA_PLANS)) await this.create(plan, limits);
  }

  private async create(tenant: string, limits: PlanLimits): Promise<void> {
    try {
      await this.admin.set(tenant, limits, { actor: 'demo', expectedVersion: 0 });
      this.logger.log(`Demo tenant "${tenant}": ${limits.quotaMb} MB, 10 % overage.`);
    } catch (error) {
      if (!(error instanceof QuotaConflictError)) throw error;
    }
  }
}
