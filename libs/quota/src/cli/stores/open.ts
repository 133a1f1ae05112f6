import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { createRedisClient } from '../../adapters/redis/connect';
import type { RedisClient } from '../../adapters/redis/redis-calls';
import { RedisUrlError, REDIS_URL_ALLOWED } from '../../adapters/redis/redis-url';
import { quotaEntities } from '../../adapters/postgres/migrations';
import { quotaPostgresOptions } from '../../adapters/postgres/postgres-options';
import { InvalidOptionsError } from '../../core/errors';
import { describeCause } from '../../core/error-event';
import { resolveOptions, type ResolvedQuotaOptions } from '../../nest/options';
import { CliError, EXIT } from '../errors';
import { StoreAdmin } from './store-admin';

export interface StoreAddresses {
  readonly postgresUrl: string;
  /** Absent: usage cannot be read, and quotas cannot be changed. */
  readonly redisUrl: string | undefined;
  readonly redisPrefix: string | undefined;
  /** As the service is told; see there. */
  readonly decisionsMaxAgeHours: string | undefined;
  /** For the audit trail. */
  readonly actor: string;
  /** Tells whoever watches. */
  readonly note: (text: string) => void;
}

/** How long Redis is waited for. */
const CONNECT_MS = 3_000;

/** Read, changed and gone: nothing of this process serves requests or does upkeep. */
const NO_UPKEEP = {
  ...{ sweepSeconds: 0, usageSyncSeconds: 0, usageFlushSeconds: 0, reconcileSeconds: 0 },
  // What Redis holds is read as it is; grants are the business of the instances.
  bank: false,
} as const;

/**
 * Opens the stores of a service.
 *
 * @throws CliError when PostgreSQL does not answer or an address cannot be used. A Redis that does not
 * answer is told of by those commands that need it.
 */
export async function openStores(addresses: StoreAddresses): Promise<StoreAdmin> {
  const redis = redisOf(addresses.redisUrl);
  let dataSource: DataSource | undefined;
  try {
    dataSource = await databaseOf(addresses.postgresUrl);
    const options = optionsOf(addresses, dataSource, redis);
    const redisAway = redis === undefined ? null : await connect(redis);
    return new StoreAdmin({ ...addresses, options, dataSource, redis, redisAway });
  } catch (error) {
    redis?.disconnect();
    await dataSource?.destroy();
    throw error;
  }
}

function redisOf(url: string | undefined): RedisClient | undefined {
  if (url === undefined) return undefined;
  try {
    const client = createRedisClient(url);
    // Whoever asks is told; ioredis would print the rest.
    client.on('error', () => undefined);
    return client;
  } catch (error) {
    const why = error instanceof RedisUrlError ? error.message : 'it cannot be read';
    throw new CliError(`The URL of Redis: ${why}. Allowed: ${REDIS_URL_ALLOWED}.`, EXIT.usage);
  }
}

async function databaseOf(connectionString: string): Promise<DataSource> {
  if (!/^postgres(ql)?:\/\//.test(connectionString)) {
    throw new CliError('The URL of PostgreSQL has to begin with postgres://.', EXIT.usage);
  }
  const extra = { ...quotaPostgresOptions, max: 2, connectionString };
  try {
    const dataSource = new DataSource({ type: 'postgres', entities: quotaEntities, extra });
    return await dataSource.initialize();
  } catch (error) {
    const why = describeCause(error) ?? 'no reason given';
    throw new CliError(`PostgreSQL cannot be used: ${why}`, EXIT.unavailable);
  }
}

function optionsOf(
  { redisPrefix, decisionsMaxAgeHours }: StoreAddresses,
  dataSource: DataSource,
  redis: RedisClient | undefined,
): ResolvedQuotaOptions {
  try {
    return resolveOptions({
      ...NO_UPKEEP,
      dataSource,
      ...(redis !== undefined && { redis }),
      ...(redisPrefix !== undefined && { redisPrefix }),
      ...(decisionsMaxAgeHours !== undefined && {
        decisionsMaxAgeHours: Number(decisionsMaxAgeHours),
      }),
    });
  } catch (error) {
    if (!(error instanceof InvalidOptionsError)) throw error;
    throw new CliError(error.problems.join('\n'), EXIT.usage);
  }
}

/** Null: it is there; otherwise why not. */
async function connect(redis: RedisClient): Promise<string | null> {
  let last = 'it does not answer in time';
  const failed = (error: unknown): string => (last = describeCause(error) ?? last);
  redis.on('error', failed);
  const ready = redis.connect().then(() => null, failed);
  const late = sleep(CONNECT_MS, undefined, { ref: false }).then(() => last);
  return Promise.race([ready, late]);
}
