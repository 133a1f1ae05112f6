import { Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { QuotaAdmin, QuotaConflictError } from '@app/quota';
import { InjectSettings } from '../config/settings.module';
import type { Settings } from '../config/settings.schema';

/** The plans, in MB; a tenth on top is tolerated with a warning. */
const PLANS = { starter: 100, pro: 500, enterprise: 2_048 };

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
    for (const [tenant, quotaMb] of Object.entries(PLANS)) await this.create(tenant, quotaMb);
  }

  private async create(tenant: string, quotaMb: number): Promise<void> {
    const patch = { quotaMb, overageAllowed: true, overageLimitMb: Math.round(quotaMb / 10) };
    try {
      await this.admin.set(tenant, patch, { actor: 'demo', expectedVersion: 0 });
      this.logger.log(`Demo tenant "${tenant}": ${quotaMb} MB, 10 % overage.`);
    } catch (error) {
      if (!(error instanceof QuotaConflictError)) throw error;
    }
  }
}
