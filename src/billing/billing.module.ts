import { Logger, Module, type OnApplicationShutdown } from '@nestjs/common';
import { UsageRecorder } from '@app/quota';
import { BillingController } from './billing.controller';

/** So long a shutdown waits for the last counts; orchestrators kill after 30 s. */
const FLUSH_MS = 2_000;

/**
 * Usage and cache metrics over time, for admins. When the server is closed, and the database is not yet,
 * the last answers are counted and written.
 */
@Module({ controllers: [BillingController] })
export class BillingModule implements OnApplicationShutdown {
  private readonly logger = new Logger('Billing');

  constructor(private readonly recorder: UsageRecorder) {}

  async onApplicationShutdown(): Promise<void> {
    try {
      await this.recorder.flush(FLUSH_MS);
    } catch (error) {
      this.logger.warn(`The latest counts of requests were not written: ${String(error)}`);
    }
  }
}
