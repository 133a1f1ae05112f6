import { EnforceCacheQuota, keyFromParam, quotaRedisOptions, QuotaModule } from '@app/quota';
import { ThrottlerStorageRedisService } from '@nest-lab/throttler-storage-redis';
import { Module, UseGuards, type DynamicModule, type ModuleMetadata } from '@nestjs/common';
import { ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import { once } from 'node:events';
import { Redis, type RedisOptions } from 'ioredis';
import { RateLimiterMemory, RateLimiterRedis } from 'rate-limiter-flexible';
import { createDataSource } from '../../src/database/data-source';
import { variantOf, type Variant } from '../variants';
import { LIMITER, RlfGuard } from './rlf.guard';
import { LIMIT, WINDOW_MS, type SubjectSettings } from './settings';
import { storeController } from './store.controller';

@Module({})
class SubjectModule {}

/** The application of a variant: one route, and what stands before it. */
export async function subjectModule(settings: SubjectSettings): Promise<DynamicModule> {
  const variant = variantOf(settings.variant);
  switch (variant.kind) {
    case 'bare':
      return application(() => undefined, {});
    case 'guard':
      return guarded(variant, settings);
    case 'throttler':
      return throttled(variant, settings);
    case 'rlf':
      return limited(variant, settings);
  }
}

async function guarded(variant: Variant, settings: SubjectSettings): Promise<DynamicModule> {
  const { databaseUrl, quotaCacheMaxTenants } = settings;
  const dataSource =
    databaseUrl === undefined ? undefined : await createDataSource({ databaseUrl, dataDir: '' });
  const redis = await clientFor(variant, settings, quotaRedisOptions);
  const module = QuotaModule.forRoot({
    defaultQuotaMb: 1_000_000_000,
    redisPrefix: `bench:${settings.adapter}:${variant.name}`,
    ...(redis !== undefined && { redis }),
    ...(dataSource !== undefined && { dataSource }),
    ...(quotaCacheMaxTenants !== undefined && { quotaCacheMaxTenants }),
  });
  return application(EnforceCacheQuota({ key: keyFromParam('key') }), { imports: [module] });
}

async function throttled(variant: Variant, settings: SubjectSettings): Promise<DynamicModule> {
  const redis = await clientFor(variant, settings);
  const module = ThrottlerModule.forRoot({
    throttlers: [{ ttl: WINDOW_MS, limit: LIMIT }],
    getTracker: (request) => (request['headers'] as Record<string, string>)['x-tenant-id'] ?? '',
    ...(redis !== undefined && { storage: new ThrottlerStorageRedisService(redis) }),
  });
  return application(UseGuards(ThrottlerGuard), { imports: [module] });
}

async function limited(variant: Variant, settings: SubjectSettings): Promise<DynamicModule> {
  const redis = await clientFor(variant, settings);
  const window = { points: LIMIT, duration: WINDOW_MS / 1_000, keyPrefix: variant.name };
  const limiter =
    redis === undefined
      ? new RateLimiterMemory(window)
      : new RateLimiterRedis({ ...window, storeClient: redis });
  return application(UseGuards(RlfGuard), {
    providers: [{ provide: LIMITER, useValue: limiter }, RlfGuard],
  });
}

function application(guard: MethodDecorator, metadata: ModuleMetadata): DynamicModule {
  return { module: SubjectModule, controllers: [storeController(guard)], ...metadata };
}

/** Connected, unless the variant wants to be without; `postgres` gets one whose server is away. */
async function clientFor(
  { store, autoPipelining = false }: Variant,
  { redisUrl }: SubjectSettings,
  options: RedisOptions = {},
): Promise<Redis | undefined> {
  if (redisUrl === undefined) return undefined;
  const client = new Redis(redisUrl, { ...options, enableAutoPipelining: autoPipelining });
  client.on('error', () => undefined);
  if (store === 'redis') await once(client, 'ready');
  return client;
}
