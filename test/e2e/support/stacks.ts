import { startPostgres, startRedis, type PostgresServer, type RedisServer } from '../../support';

/** One way to run the service. */
export interface Stack {
  readonly name: string;
  readonly adapter: 'express' | 'fastify';
  readonly stores: 'embedded' | 'redis' | 'postgres';
}

/** Both frameworks on each kind of stores. */
export const STACKS: readonly Stack[] = (['express', 'fastify'] as const).flatMap((adapter) => [
  { name: `${adapter}, embedded`, adapter, stores: 'embedded' as const },
  { name: `${adapter}, values in Redis`, adapter, stores: 'redis' as const },
  { name: `${adapter}, values in PostgreSQL`, adapter, stores: 'postgres' as const },
]);

/** Real servers for a file of tests. */
export class Servers {
  private constructor(
    readonly redis: RedisServer,
    readonly postgres: PostgresServer,
  ) {}

  static async start(): Promise<Servers> {
    const [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
    return new Servers(redis, postgres);
  }

  async stop(): Promise<void> {
    await Promise.all([this.redis.stop(), this.postgres.stop()]);
  }

  /** Settings for a service on this stack, with a database of its own. */
  async settings({
    adapter,
    stores,
  }: Pick<Stack, 'adapter' | 'stores'>): Promise<Record<string, string>> {
    if (stores === 'embedded') return { HTTP_ADAPTER: adapter };
    return {
      HTTP_ADAPTER: adapter,
      REDIS_URL: this.redis.url,
      DATABASE_URL: await this.postgres.createDatabase(),
      CACHE_STORE: stores,
    };
  }
}
