import { Controller, Get, Inject } from '@nestjs/common';
import {
  HealthCheck,
  HealthCheckService,
  HealthIndicatorService,
  type HealthCheckResult,
  type HealthIndicatorResult,
} from '@nestjs/terminus';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Redis } from 'ioredis';
import { DataSource } from 'typeorm';
import { evictionPolicy, evictsLedgers, RedisModule } from '../redis/redis.module';

const DEADLINE_MS = 2_000;

/** For orchestrators: restart me (live), send me requests (ready). */
@ApiTags('operations')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicator: HealthIndicatorService,
    private readonly dataSource: DataSource,
    @Inject(RedisModule.TOKEN) private readonly redis: Redis | null,
  ) {}

  /** Says only that the process answers: a store that is away is no reason to restart it. */
  @Get('live')
  @HealthCheck()
  @ApiOperation({ summary: 'The process answers' })
  live(): Promise<HealthCheckResult> {
    return this.health.check([]);
  }

  @Get('ready')
  @HealthCheck()
  @ApiOperation({ summary: 'The stores answer, within their deadline' })
  ready(): Promise<HealthCheckResult> {
    const { redis } = this;
    return this.health.check([
      () => this.database(),
      ...(redis === null ? [] : [() => this.redisIndicator(redis)]),
    ]);
  }

  private async database(): Promise<HealthIndicatorResult> {
    return this.indicator
      .check('database')
      .attempt(async () => {
        await this.dataSource.query('SELECT 1');
      })
      .withTimeout(DEADLINE_MS);
  }

  private async redisIndicator(redis: Redis): Promise<HealthIndicatorResult> {
    const session = this.indicator.check('redis');
    let policy: string | undefined;
    const result = await session
      .attempt(async () => {
        policy = await evictionPolicy(redis);
      })
      .withTimeout(DEADLINE_MS);
    if (result.redis.status !== 'up' || !evictsLedgers(policy)) return result;
    return session.degraded(`maxmemory-policy ${String(policy)} loses usage; set noeviction`);
  }
}
