import { Controller, Get } from '@nestjs/common';
import { HealthCheck, HealthCheckService, type HealthCheckResult } from '@nestjs/terminus';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { HealthIndicators } from './health-indicators';

/** For orchestrators: restart me (live), send me requests (ready). */
@ApiTags('operations')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicators: HealthIndicators,
  ) {}

  /** Says only that the process answers: a store that is away is no reason to restart it. */
  @Get('live')
  @HealthCheck()
  @ApiOperation({ summary: 'The process answers' })
  live(): Promise<HealthCheckResult> {
    return this.health.check([]);
  }

  /** Degraded is ready: 503 only where requests cannot be served. */
  @Get('ready')
  @HealthCheck()
  @ApiOperation({ summary: 'Requests can be served; how the stores and the quota stand' })
  ready(): Promise<HealthCheckResult> {
    return this.health.check(this.indicators.all());
  }
}
