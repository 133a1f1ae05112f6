import { Module } from '@nestjs/common';
import { BillingController } from './billing.controller';

/** Usage and cache metrics over time, for admins. */
@Module({ controllers: [BillingController] })
export class BillingModule {}
