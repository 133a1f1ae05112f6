import { Inject, Injectable } from '@nestjs/common';
import { QuotaHealthIndicator } from '@app/quota';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import { InjectSettings } from '../config/settings.module';
import type { Settings } from '../config/settings.schema';
import type { RedisClient } from '../redis/redis-client';
import { evictsLedgers, surveyRedis } from '../redis/redis-survey';
import { RedisModule } from '../redis/redis.module';
import { DatabaseProbe } from './database-probe';

/** Replicas confirm once a second; what one has not confirmed is lost if the master is. */
const MOST_LAG_SECONDS = 5;

/**
 * What an instance needs. Down: no request can be served as it should, send none. Degraded: they are
 * served, and somebody should look.
 */
@Injectable()
export class HealthIndicators {
  constructor(
    private readonly indicator: HealthIndicatorService,
    private readonly probe: DatabaseProbe,
    private readonly quotaHealth: QuotaHealthIndicator,
    @Inject(RedisModule.TOKEN) private readonly redis: RedisClient | null,
    @InjectSettings() private readonly settings: Settings,
  ) {}

  /** Those of the stores that there are, and of the quota. */
  all(): (() => Promise<HealthIndicatorResult>)[] {
    const { redis } = this;
    return [
      () => this.database(),
      ...(redis === null ? [] : [() => this.redisServer(redis)]),
      () => this.quota(),
    ];
  }

  /** Away, values in PostgreSQL cannot be served; otherwise quotas are as they were last known. */
  private async database(): Promise<HealthIndicatorResult> {
    const session = this.indicator.check('database');
    try {
      await this.probe.answers();
      return session.up();
    } catch {
      if (this.settings.CACHE_STORE === 'postgres') return session.down('does not answer');
      return session.degraded('does not answer; the quotas last known hold meanwhile');
    }
  }

  /** Away, it is a reason to send no requests only where nothing could be stored without it. */
  private async redisServer(redis: RedisClient): Promise<HealthIndicatorResult> {
    const session = this.indicator.check('redis');
    const { masters, serving, ...details } = await surveyRedis(redis);
    if (serving === 0 && this.settings.CACHE_STORE !== 'postgres') {
      return session.down('does not answer');
    }
    const message = redisTrouble({ masters, serving, ...details });
    const data = { masters, serving, ...details };
    return message === undefined ? session.up(data) : session.degraded({ message, ...data });
  }

  private async quota(): Promise<HealthIndicatorResult> {
    const { quota } = await this.quotaHealth.isHealthy('quota');
    const session = this.indicator.check('quota');
    if (quota === undefined) return session.down();
    const { status, ...data } = quota;
    if (data.decides === 'nobody') return session.down(data);
    const asUsual = status === 'up' && data.decides === data.store;
    return asUsual ? session.up(data) : session.degraded(data);
  }
}

function redisTrouble(survey: Awaited<ReturnType<typeof surveyRedis>>): string | undefined {
  const { masters, serving, policy, lagSeconds, lagBytes } = survey;
  if (serving === 0) return 'does not answer; PostgreSQL decides meanwhile';
  if (serving < masters) return `only ${String(serving)} of ${String(masters)} masters serve`;
  if (evictsLedgers(policy)) {
    return `maxmemory-policy ${String(policy)} loses usage; set noeviction`;
  }
  if (lagSeconds > MOST_LAG_SECONDS) {
    return `a replica is ${String(lagSeconds)} s and ${String(lagBytes)} bytes behind`;
  }
  return undefined;
}
