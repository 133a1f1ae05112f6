import { Global, Inject, Logger, Module, type OnApplicationShutdown } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { SettingsModule } from '../config/settings.module';
import type { Settings } from '../config/settings.schema';
import { createRedisClient, type RedisClient } from './redis-client';
import { evictsLedgers, surveyRedis } from './redis-survey';

/** How long the start waits for Redis; after that the service begins without it and keeps trying. */
const CONNECT_MS = 3_000;

const TOKEN = Symbol('Redis');

/** The service's Redis client, or null where usage and values are kept in this process. */
@Global()
@Module({
  providers: [
    {
      provide: TOKEN,
      inject: [SettingsModule.TOKEN],
      useFactory: ({ REDIS_URL, CACHE_STORE }: Settings): Promise<RedisClient | null> | null =>
        REDIS_URL === undefined || CACHE_STORE === 'memory' ? null : connect(REDIS_URL),
    },
  ],
  exports: [TOKEN],
})
export class RedisModule implements OnApplicationShutdown {
  static readonly TOKEN = TOKEN;

  constructor(@Inject(TOKEN) private readonly redis: RedisClient | null) {}

  onApplicationShutdown(): void {
    this.redis?.disconnect();
  }
}

async function connect(url: string): Promise<RedisClient> {
  const logger = new Logger('Redis');
  const redis = createRedisClient(url);
  let lastError = '';
  redis.on('error', (error: Error) => {
    // Every attempt fails alike while Redis is away; once is enough to know.
    if (error.message !== lastError) logger.error(`Redis: ${error.message}`);
    lastError = error.message;
  });
  redis.on('ready', () => {
    lastError = '';
    logger.log('Redis is ready.');
    void warnOfEviction(redis, logger);
  });
  await Promise.race([
    redis.connect().catch(() => undefined),
    sleep(CONNECT_MS, null, { ref: false }),
  ]);
  return redis;
}

/** Redis may say so at the next connection, when it does not now; health asks as well. */
async function warnOfEviction(redis: RedisClient, logger: Logger): Promise<void> {
  const { policy } = await surveyRedis(redis);
  if (!evictsLedgers(policy)) return;
  logger.error(
    `Redis has maxmemory-policy ${String(policy)}: it will drop usage and values when it is full. ` +
      'Set it to noeviction.',
  );
}
