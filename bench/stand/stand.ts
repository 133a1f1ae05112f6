import type { Redis } from 'ioredis';
import {
  freePort,
  startPostgres,
  startRedis,
  type PostgresServer,
  type RedisServer,
} from '../../test/support';
import type { SubjectSettings } from '../subject/settings';
import type { Adapter, Variant } from '../variants';
import { Subject } from './subject-process';

/** A Redis and a PostgreSQL of the run's own, and the subjects that stand on them. */
export class Stand {
  private subjects: Subject[] = [];

  private constructor(
    private readonly redis: RedisServer,
    private readonly postgres: PostgresServer,
    /** A client of the bench's own, to ask the server what it did. */
    readonly probe: Redis,
    /** Nobody listens there. */
    private readonly deadPort: number,
  ) {}

  static async start(): Promise<Stand> {
    const redis = await startRedis();
    try {
      return new Stand(redis, await startPostgres(), redis.client(), await freePort());
    } catch (error) {
      await redis.stop();
      throw error;
    }
  }

  /** Starts the variants side by side, so that their rounds can be interleaved. */
  async open(
    adapter: Adapter,
    variants: readonly Variant[],
    { flags = [], ...more }: { flags?: readonly string[]; quotaCacheMaxTenants?: number } = {},
  ): Promise<Subject[]> {
    const opened: Subject[] = [];
    for (const variant of variants) {
      const settings = await this.settingsFor(adapter, variant);
      const subject = await Subject.start({ ...settings, ...more }, flags);
      this.subjects.push(subject);
      opened.push(subject);
    }
    return opened;
  }

  /** Ends the subjects, and empties Redis, which is the run's own. */
  async close(): Promise<void> {
    await Promise.all(this.subjects.map((subject) => subject.stop()));
    this.subjects = [];
    await this.probe.flushall();
  }

  async versions(): Promise<{ redis: string; postgres: string }> {
    const redis = /redis_version:(\S+)/.exec(await this.probe.info('server'))?.[1] ?? '?';
    return { redis, postgres: await this.postgresVersion() };
  }

  async stop(): Promise<void> {
    await Promise.all(this.subjects.map((subject) => subject.stop()));
    await Promise.all([this.redis.stop(), this.postgres.stop()]);
  }

  private async settingsFor(adapter: Adapter, variant: Variant): Promise<SubjectSettings> {
    const { name, store, bank = false } = variant;
    const away = `redis://127.0.0.1:${this.deadPort}`;
    return {
      ...{ variant: name, adapter },
      ...(store === 'redis' && { redisUrl: this.redis.url }),
      ...(store === 'postgres' && { redisUrl: away }),
      ...(bank && { databaseUrl: await this.postgres.createDatabase() }),
    };
  }

  private async postgresVersion(): Promise<string> {
    const { Client } = await import('pg');
    const client = new Client({ connectionString: this.postgres.url });
    await client.connect();
    try {
      const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
      return rows[0]?.server_version ?? '?';
    } finally {
      await client.end();
    }
  }
}
