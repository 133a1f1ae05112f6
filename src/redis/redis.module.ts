import { Global, Inject, Logger, Module, type OnApplicationShutdown } from '@nestjs/common';
import { quotaRedisOptions } from '@app/quota';
import { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';
import { SettingsModule } from '../config/settings.module';
import type { Settings } from '../config/settings.schema';

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
      useFactory: ({ REDIS_URL, CACHE_STORE }: Settings): Promise<Redis | null> | null =>
        REDIS_URL === undefined || CACHE_STORE === 'memory' ? null : connect(REDIS_URL),
    },
  ],
  exports: [TOKEN],
})
export class RedisModule implements OnApplicationShutdown {
  static readonly TOKEN = TOKEN;

  constructor(@Inject(TOKEN) private readonly redis: Redis | null) {}

  onApplicationShutdown(): void {
    this.redis?.disconnect();
  }
}

async function connect(url: string): Promise<Redis> {
  const logger = new Logger('Redis');
  const redis = new Redis(url, { ...quotaRedisOptions, lazyConnect: true });
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

/** The policy Redis drops keys by when it is full; undefined where it does not say. */
export async function evictionPolicy(redis: Redis): Promise<string | undefined> {
  return /maxmemory_policy:(\S+)/.exec(await redis.info('memory'))?.[1];
}

/** With allkeys-* Redis throws counters and values away as it likes: 199 of 200 idle ones, when measured. */
export function evictsLedgers(policy: string | undefined): boolean {
  return policy?.startsWith('allkeys') ?? false;
}

async function warnOfEviction(redis: Redis, logger: Logger): Promise<void> {
  try {
    const policy = await evictionPolicy(redis);
    if (!evictsLedgers(policy)) return;
    logger.error(
      `Redis has maxmemory-policy ${String(policy)}: it will drop usage and values when it is full. ` +
        'Set it to noeviction.',
    );
  } catch {
    // It may say so at the next connection; health asks as well.
  }
}
