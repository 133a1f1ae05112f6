import { Module, type DynamicModule } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { DatabaseProbe } from './database-probe';
import { HealthController } from './health.controller';
import { HealthIndicators } from './health-indicators';
import { LoggingModule } from './logging.module';
import { metricsModule } from './metrics.module';

/** Health, metrics and logs. */
@Module({})
export class OpsModule {
  static register(): DynamicModule {
    return {
      module: OpsModule,
      imports: [TerminusModule.forRoot({ logger: false }), LoggingModule, metricsModule()],
      controllers: [HealthController],
      providers: [DatabaseProbe, HealthIndicators],
    };
  }
}
