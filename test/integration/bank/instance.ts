import { Test, type TestingModule } from '@nestjs/testing';
import {
  QuotaChecker,
  QuotaModule,
  QuotaObserver,
  QuotaUnavailableError,
  quotaEntities,
  quotaPostgresOptions,
  quotaRedisOptions,
  StoreBreakers,
  UsageTracker,
  type CommitReply,
  type QuotaEvents,
  type QuotaModuleOptions,
  type Reservation,
} from '@app/quota';
import { Redis, type Cluster } from 'ioredis';
import { DataSource } from 'typeorm';
import { waitUntil } from '../../support';
import { startProxy, type Proxy } from '../redis/proxy';
import type { Storage } from './storage';

export type PutOutcome = 'stored' | 'refused' | 'unavailable' | 'undone';

/** One instance of an application, with ways of its own to Redis and PostgreSQL. */
export interface Instance {
  readonly checker: QuotaChecker;
  readonly tracker: UsageTracker;
  readonly module: TestingModule;
  readonly redisLink: Proxy;
  readonly databaseLink: Proxy;
  readonly degraded: QuotaEvents['degraded'][];
  readonly errors: QuotaEvents['error'][];
  /** Reserves, stores, commits, as an application does; undoes what the account does not take. */
  put(tenant: string, key: string, bytes: number, ttlSeconds?: number): Promise<PutOutcome>;
  remove(tenant: string, key: string): Promise<void>;
  /** Tenants whose storage and account may have parted, as an application would note them. */
  readonly suspects: Set<string>;
  redisState(): string | undefined;
  close(): Promise<void>;
}

export interface Stores {
  readonly redisPort: number;
  readonly databaseUrl: string;
  readonly storage: Storage;
  /** A client of another kind, past the instance's own link; absent: one through it. */
  readonly connect?: () => Redis | Cluster;
}

export async function startInstance(
  { redisPort, databaseUrl, storage, connect }: Stores,
  options: Partial<QuotaModuleOptions> = {},
): Promise<Instance> {
  const redisLink = await startProxy(redisPort);
  const url = new URL(databaseUrl);
  const databaseLink = await startProxy(Number(url.port));
  url.port = String(databaseLink.port);
  const redis = connect?.() ?? new Redis({ port: redisLink.port, ...quotaRedisOptions });
  redis.on('error', () => undefined);
  await waitUntil(() => redis.status === 'ready');
  const dataSource = await new DataSource({
    type: 'postgres',
    entities: quotaEntities,
    extra: { ...quotaPostgresOptions, connectionString: url.href },
  }).initialize();
  const module = await Test.createTestingModule({
    imports: [
      QuotaModule.forRoot({
        ...{ redis, dataSource, usageSource: storage, sweepSeconds: 1, reservationTtlSeconds: 3 },
        ...options,
      }),
    ],
  }).compile();
  await module.init();
  const checker = module.get(QuotaChecker);
  const observer = module.get(QuotaObserver);
  const degraded: QuotaEvents['degraded'][] = [];
  const errors: QuotaEvents['error'][] = [];
  const suspects = new Set<string>();
  observer.on('degraded', (event) => degraded.push(event));
  observer.on('error', (event) => errors.push(event));
  return {
    ...{ checker, module, redisLink, databaseLink, degraded, errors, suspects },
    tracker: module.get(UsageTracker),
    redisState: () => module.get(StoreBreakers).states().redis,
    put: (tenant, key, bytes, ttlSeconds) =>
      put(
        { checker, storage, suspects },
        { tenant, key, bytes, ...(ttlSeconds !== undefined && { ttlSeconds }) },
      ),
    remove: async (tenant, key) => {
      await checker.remove(tenant, key, storage.delete(tenant, key));
    },
    close: async () => {
      await module.close();
      redis.disconnect();
      await dataSource.destroy();
      await Promise.all([redisLink.close(), databaseLink.close()]);
    },
  };
}

async function put(
  { checker, storage, suspects }: Pick<Instance, 'checker' | 'suspects'> & { storage: Storage },
  write: { tenant: string; key: string; bytes: number; ttlSeconds?: number },
): Promise<PutOutcome> {
  const { tenant, key, bytes, ttlSeconds } = write;
  let reservation: Reservation;
  try {
    const verdict = await checker.reserve(write);
    if (!verdict.admitted) return 'refused';
    reservation = verdict.reservation;
  } catch (error) {
    if (error instanceof QuotaUnavailableError) return 'unavailable';
    throw error;
  }
  const ttlMs = ttlSeconds === undefined ? undefined : ttlSeconds * 1_000;
  const version = storage.put(tenant, key, bytes, ttlMs);
  const reply = await commitTwice(reservation, bytes, version);
  if (reply === null || reply.outcome === 'committed') return 'stored';
  const undone = storage.undo(tenant, key, version);
  try {
    if (reply.outcome === 'bounced' || undone === null) suspects.add(tenant);
    if (undone !== null) await checker.remove(tenant, key, undone);
  } catch {
    suspects.add(tenant);
  }
  return 'undone';
}

/** As an application may do: once more with the same id, then the write is undone. */
async function commitTwice(
  reservation: Reservation,
  bytes: number,
  version: number,
): Promise<CommitReply | null> {
  for (let round = 0; ; round += 1) {
    try {
      return await reservation.commit(bytes, { version });
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      if (round === 1) return { outcome: 'bounced' };
    }
  }
}
