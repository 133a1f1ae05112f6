import { Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { QuotaCacheService } from '../core/quota-cache.service';

/** Listens for changes on other instances from the start of the application to its end. */
@Injectable()
export class QuotaLifecycle implements OnModuleInit, OnApplicationShutdown {
  constructor(private readonly quotas: QuotaCacheService) {}

  async onModuleInit(): Promise<void> {
    await this.quotas.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.quotas.stop();
  }
}
