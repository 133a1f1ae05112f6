import type { Redis } from 'ioredis';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Pool } from 'pg';
import {
  startPostgres,
  startRedis,
  waitUntil,
  type PostgresServer,
  type RedisServer,
} from '../support';
import { AppProcess } from './app-process';
import { ADMIN_TOKEN } from './http';
import { Link } from './link';
import type { Store } from './options';

export const INSTANCES = 3;

const REDIS_ARGS = [
  '--appendonly',
  'yes',
  '--appendfsync',
  'always',
  '--busy-reply-threshold',
  '100',
];

export interface StandOptions {
  readonly store: Store;
  readonly logs: string | null;
  /** Called with what must never happen in a process. */
  readonly report: (kind: string, what: string) => void;
}

/** Three processes of the service, one Redis, one PostgreSQL, and a link of its own for each pair. */
export class Stand {
  readonly links: Record<Store, Link[]> = { redis: [], postgres: [] };
  readonly apps: AppProcess[] = [];
  /** The run's own ways to the servers, past the links. */
  readonly own: { redis: Redis; pool: Pool };
  private readonly redisDir: Promise<string>;

  private constructor(
    readonly store: Store,
    readonly redis: RedisServer,
    readonly postgres: PostgresServer,
    readonly database: string,
    readonly report: StandOptions['report'],
  ) {
    const redisOptions = { commandTimeout: 3_000, maxRetriesPerRequest: 2 };
    const pool = new Pool({
      ...{ connectionString: database, max: 4 },
      ...{ connectionTimeoutMillis: 2_000, query_timeout: 3_000 },
    });
    pool.on('error', () => undefined);
    pool.on('connect', (client) => client.on('error', () => undefined));
    this.own = { redis: redis.client(redisOptions), pool };
    this.redisDir = this.own.redis
      .config('GET', 'dir')
      .then((pair) => String((pair as unknown[])[1]));
  }

  static async start(options: StandOptions): Promise<Stand> {
    const [redis, postgres] = await Promise.allSettled([
      startRedis({ args: REDIS_ARGS }),
      // So that the auditor can say when a row was stored.
      startPostgres(['track_commit_timestamp=on']),
    ]);
    if (redis.status === 'rejected' || postgres.status === 'rejected') {
      if (redis.status === 'fulfilled') await redis.value.stop();
      if (postgres.status === 'fulfilled') await postgres.value.stop();
      throw new Error('A server did not start', {
        cause:
          redis.status === 'rejected' ? redis.reason : (postgres as PromiseRejectedResult).reason,
      });
    }
    const database = await postgres.value.createDatabase();
    const stand = new Stand(options.store, redis.value, postgres.value, database, options.report);
    try {
      await stand.startApps(options);
    } catch (error) {
      await stand.stop();
      throw error;
    }
    return stand;
  }

  get liveApps(): AppProcess[] {
    return this.apps.filter((app) => app.isLive);
  }

  /** Redis with nothing in it, as after the loss of its disk. */
  async restartRedisEmpty(): Promise<void> {
    await this.redis.kill();
    await rm(join(await this.redisDir, 'appendonlydir'), { recursive: true, force: true });
    await this.redis.restart();
  }

  /** Until a command of the run's own has had its effect. */
  async untilRedis(command: (redis: Redis) => Promise<unknown>): Promise<void> {
    await waitUntil(async () => command(this.own.redis).then(() => true), { timeoutMs: 20_000 });
  }

  async stop(): Promise<void> {
    await Promise.all(this.apps.map((app) => app.kill()));
    await Promise.all([...this.links.redis, ...this.links.postgres].map((link) => link.refuse()));
    await Promise.race([this.own.pool.end(), new Promise((resolve) => setTimeout(resolve, 1_000))]);
    await Promise.all([this.redis.stop(), this.postgres.stop()]);
  }

  private async startApps({ store, report, logs }: StandOptions): Promise<void> {
    for (let i = 0; i < INSTANCES; i += 1) {
      const [toRedis, toPostgres] = [new Link(this.redis.port), new Link(this.postgres.port)];
      this.links.redis.push(toRedis);
      this.links.postgres.push(toPostgres);
      await Promise.all([toRedis.open(), toPostgres.open()]);
      const database = new URL(this.database);
      database.port = String(toPostgres.port);
      const settings = {
        ...{ NODE_ENV: 'test', LOG_LEVEL: 'warn', ADMIN_TOKEN },
        ...{ TENANT_AUTH: 'header', QUOTA_ENFORCEMENT_ENABLED: 'true' },
        ...{ QUOTA_RESERVATION_TTL_SECONDS: '5', CACHE_STORE: store },
        REDIS_URL: `redis://127.0.0.1:${toRedis.port}`,
        DATABASE_URL: database.href,
        ...(process.env['CHAOS_BREAK'] !== undefined && {
          CHAOS_BREAK: process.env['CHAOS_BREAK'],
        }),
      };
      const name = `app-${i}`;
      const log = logs === null ? null : join(logs, `${store}-${name}.log`);
      this.apps.push(new AppProcess(name, settings, (what) => report('process', what), log));
    }
    // One after the other: the first one migrates.
    await this.apps[0]?.start();
    await Promise.all(this.apps.slice(1).map((app) => app.start()));
  }
}
