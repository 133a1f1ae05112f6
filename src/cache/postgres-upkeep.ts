import {
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { Reconciler, UsageTracker } from '@app/quota';
import { DataSource } from 'typeorm';
import { InjectSettings } from '../config/settings.module';
import type { Settings } from '../config/settings.schema';
import { PostgresEntryRepository } from './postgres-entry-repository';
import { SuspectTenants } from './suspect-tenants';

const SWEEP_MS = 60_000;
const SWEEP_ROWS = 500;

const TENANTS = 'SELECT DISTINCT tenant_id FROM cache_entries ORDER BY tenant_id';

/** What values in PostgreSQL need beside the requests. Does nothing with other stores. */
@Injectable()
export class PostgresUpkeep implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('Cache');
  private timer: NodeJS.Timeout | undefined;

  constructor(
    @InjectSettings() private readonly settings: Settings,
    private readonly dataSource: DataSource,
    private readonly tracker: UsageTracker,
    private readonly reconciler: Reconciler,
    private readonly entries: PostgresEntryRepository,
    private readonly suspects: SuspectTenants,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    if (this.settings.CACHE_STORE !== 'postgres') return;
    if (this.tracker.store === 'memory') await this.countAnew();
    this.planSweep();
  }

  onApplicationShutdown(): void {
    clearTimeout(this.timer);
    this.suspects.stop();
  }

  /** A ledger in this process begins empty; what is stored has outlived the last one. */
  private async countAnew(): Promise<void> {
    this.logger.warn(
      'CACHE_STORE=postgres without REDIS_URL: usage is counted in this process, so run one instance.',
    );
    const rows = await this.dataSource.query<{ tenant_id: string }[]>(TENANTS);
    for (const { tenant_id: tenant } of rows) await this.reconciler.reconcile(tenant);
  }

  /** Jittered, so that instances don't sweep in step. */
  private planSweep(): void {
    const pause = SWEEP_MS * (0.75 + Math.random() / 2);
    this.timer = setTimeout(() => void this.sweep(), pause).unref();
  }

  private async sweep(): Promise<void> {
    try {
      while ((await this.entries.sweep(SWEEP_ROWS)) > 0);
    } catch (error) {
      this.logger.warn(`Expired entries stay a while longer: ${String(error)}`);
    }
    this.planSweep();
  }
}
