import {
  Inject,
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import type { BankUpkeep } from '../core/bank-upkeep';
import { inTime } from '../core/budget';
import { QuotaObserver } from '../core/observer';
import { QuotaCacheService } from '../core/quota-cache.service';
import { QuotaChecker } from '../core/quota-checker';
import { DecisionRecorder } from '../core/decision-recorder';
import { RolloutAdmin } from '../core/rollout-admin';
import type { LedgerWatch } from '../core/server-signs';
import { StoreBreakers } from '../core/store-breakers';
import { UsageMeter } from '../core/usage-meter';
import { UsageRecorder } from '../core/usage-recorder';
import { UsageUpkeep } from '../core/usage-upkeep';
import { QUOTA_OPTIONS, type ResolvedQuotaOptions } from './options';

export const BANK_UPKEEP = Symbol('BankUpkeep');
export const SERVER_WATCH = Symbol('ServerWatch');

/** So long a shutdown goes on reading usage; orchestrators kill after 30 s. */
const SYNC_MS = 5_000;
/** So long it waits for what was counted to be written. */
const FLUSH_MS = 2_000;

/**
 * From the start of the application to its end: listens for changes on other instances, takes over the
 * rollout that was set at run time, and keeps the upkeep going. At the end no reservation is taken any
 * more while the open ones settle, the table of quotas gets what this instance has changed, and the log
 * what it has counted; and the breakers rest, so that a client that is closed is not probed.
 */
@Injectable()
export class QuotaLifecycle
  implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown
{
  private readonly logger = new Logger('Quota');

  constructor(
    private readonly quotas: QuotaCacheService,
    private readonly checker: QuotaChecker,
    private readonly upkeep: UsageUpkeep,
    private readonly recorder: UsageRecorder,
    private readonly meter: UsageMeter,
    private readonly breakers: StoreBreakers,
    @Inject(BANK_UPKEEP) private readonly bankUpkeep: BankUpkeep | null,
    @Inject(SERVER_WATCH) private readonly serverWatch: LedgerWatch | null,
    private readonly rollout: RolloutAdmin,
    @Inject(DecisionRecorder) private readonly decisions: DecisionRecorder | null,
    private readonly observer: QuotaObserver,
    @Inject(QUOTA_OPTIONS) private readonly options: ResolvedQuotaOptions,
  ) {}

  async onModuleInit(): Promise<void> {
    await this.quotas.start({
      rollout: (word) => this.rollout.hear(word),
      loss: (tenant) => void this.checker.holdAnew(tenant),
    });
    await this.rollout.start();
    this.decisions?.start();
  }

  onApplicationBootstrap(): void {
    this.upkeep.start();
    this.recorder.start();
    this.meter.start();
    this.bankUpkeep?.start();
    this.serverWatch?.start({ changed: (server) => this.serverChanged(server) });
  }

  /** Before the server closes, so that who comes now gets an answer; the stores are still there. */
  async beforeApplicationShutdown(): Promise<void> {
    const { drainSeconds, usageSyncSeconds } = this.options;
    this.serverWatch?.stop();
    const stopped = Promise.all([this.upkeep.stop(), this.meter.stop(), this.recorder.stop()]);
    if (!(await this.checker.drain(drainSeconds * 1_000))) {
      this.logger.warn(
        `Writes are still under way after ${String(drainSeconds)} s; the bytes of those that do not ` +
          'finish go back at their deadline.',
      );
    }
    await stopped;
    await this.bankUpkeep?.stop();
    await this.decisions?.stop();
    await this.rollout.stop();
    if (usageSyncSeconds > 0) await this.syncUsage();
    await this.flushCounts();
  }

  async onApplicationShutdown(): Promise<void> {
    this.breakers.stop();
    await this.quotas.stop();
  }

  /** What the new one lacks can only be found where the values are. */
  private serverChanged(server: string): void {
    this.observer.emit('error', {
      ...{ operation: 'ledger', error: 'server_changed' },
      cause: `Another Redis server answers (${server}); it may lack the latest writes`,
    });
    if (this.options.usageSource !== undefined) void this.upkeep.recover(server);
  }

  private async flushCounts(): Promise<void> {
    try {
      await this.recorder.flush(FLUSH_MS);
    } catch (error) {
      this.logger.warn(`The latest counts of usage were not written: ${String(error)}`);
    }
  }

  private async syncUsage(): Promise<void> {
    try {
      const synced = this.upkeep.syncTenants(this.checker.takeTouched(), SYNC_MS);
      // Its own look at the time is between two statements, of which one may hang.
      await inTime('usage_sync', SYNC_MS, synced);
    } catch (error) {
      this.logger.warn(`The usage was not written to the table of quotas: ${String(error)}`);
    }
  }
}
