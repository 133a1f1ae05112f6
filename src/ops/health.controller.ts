import { Controller, Get, Inject } from '@nestjs/common';
import {
  HealthCheck,
  HealthCheckService,
  HealthIndicatorService,
  type HealthCheckResult,
  type HealthIndicatorResult,
} from '@nestjs/terminus';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { DataSource } from 'typeorm';
import { InjectSettings } from '../config/settings.module';
import type { Settings } from '../config/settings.schema';
import type { RedisClient } from '../redis/redis-client';
import { evictsLedgers, surveyRedis } from '../redis/redis-survey';
import { RedisModule } from '../redis/redis.module';

const DEADLINE_MS = 2_000;

/** For orchestrators: restart me (live), send me requests (ready). */
@ApiTags('operations')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly indicator: HealthIndicatorService,
    private readonly dataSource: DataSource,
    @Inject(RedisModule.TOKEN) private readonly redis: RedisClient | null,
    @InjectSettings() private readonly settings: Settings,
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

  /** Away, it is a reason to send no requests only where nothing could be stored without it. */
  private async redisIndicator(redis: RedisClient): Promise<HealthIndicatorResult> {
    const session = this.indicator.check('redis');
    const { masters, serving, policy } = await surveyRedis(redis);
    if (serving === 0 && this.settings.CACHE_STORE !== 'postgres') {
      return session.down('does not answer');
    }
    if (serving === 0) return session.degraded('does not answer; PostgreSQL decides meanwhile');
    if (serving < masters) {
      return session.degraded(`only ${String(serving)} of ${String(masters)} masters serve`);
    }
    if (!evictsLedgers(policy)) return session.up();
    return session.degraded(`maxmemory-policy ${String(policy)} loses usage; set noeviction`);
  }
}
