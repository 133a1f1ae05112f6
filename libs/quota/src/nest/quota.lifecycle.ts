import { Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { QuotaCacheService } from '../core/quota-cache.service';
import { StoreBreakers } from '../core/store-breakers';

/**
 * Listens for changes on other instances from the start of the application to its end; then lets the
 * breakers rest, so that a client that is closed is not probed.
 */
@Injectable()
export class QuotaLifecycle implements OnModuleInit, OnApplicationShutdown {
  constructor(
    private readonly quotas: QuotaCacheService,
    private readonly breakers: StoreBreakers,
  ) {}

  async onModuleInit(): Promise<void> {
    await this.quotas.start();
  }

  async onApplicationShutdown(): Promise<void> {
    this.breakers.stop();
    await this.quotas.stop();
  }
}
