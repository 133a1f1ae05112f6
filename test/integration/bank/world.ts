import { randomUUID } from 'node:crypto';
import { QuotaAdmin, type QuotaModuleOptions } from '@app/quota';
import type { DataSource } from 'typeorm';
import { createDataSource } from '../../../src/database/data-source';
import {
  startPostgres,
  startRedis,
  waitUntil,
  type PostgresServer,
  type RedisServer,
} from '../../support';
import { startInstance, type Instance, type Stores } from './instance';
import { Storage } from './storage';

export const KB = 1_024;
/** Of every tenant of a world: 1 MB without overage. */
export const HARD = KB * KB;

/** Another Redis than a single one of its own. */
export interface GivenRedis {
  readonly redis: RedisServer;
  readonly connect?: Stores['connect'];
}

/** Redis, PostgreSQL, an application's storage, and the instances of the application. */
export class World {
  private readonly instances: Instance[] = [];

  private constructor(
    readonly redis: RedisServer,
    readonly postgres: PostgresServer,
    private readonly url: string,
    /** Looks into PostgreSQL past every link. */
    readonly probe: DataSource,
    private readonly connect: Stores['connect'],
    readonly storage = new Storage(),
  ) {}

  static async start(given?: GivenRedis): Promise<World> {
    const [redis, postgres] = await Promise.all([given?.redis ?? startRedis(), startPostgres()]);
    const url = await postgres.createDatabase();
    const probe = await createDataSource({ databaseUrl: url, dataDir: 'unused' });
    return new World(redis, postgres, url, probe, given?.connect);
  }

  async stop(): Promise<void> {
    await this.closeInstances();
    await this.probe.destroy();
    await Promise.all([this.redis.stop(), this.postgres.stop()]);
  }

  async newInstance(options: Partial<QuotaModuleOptions> = {}): Promise<Instance> {
    const { redis, url, storage, connect } = this;
    const stores = {
      ...{ redisPort: redis.port, databaseUrl: url, storage },
      ...(connect !== undefined && { connect }),
    };
    const instance = await startInstance(stores, options);
    this.instances.push(instance);
    return instance;
  }

  async closeInstances(): Promise<void> {
    await Promise.all(this.instances.splice(0).map((instance) => instance.close()));
  }

  async newTenant(): Promise<string> {
    const tenant = `t-${randomUUID()}`;
    const admin = this.instances[0]?.module.get(QuotaAdmin);
    await admin?.set(tenant, { quotaMb: 1, overageAllowed: false }, { actor: 'test' });
    return tenant;
  }

  /** What the bank has given and holds itself. */
  async account(tenant: string): Promise<{ granted: number; drawn: number }> {
    const [row] = await this.probe.query<{ granted: string; drawn: string }[]>(
      `SELECT granted_bytes AS granted, committed + reserved + folding_bytes AS drawn
       FROM quota_ledger WHERE tenant_id = $1`,
      [tenant],
    );
    return { granted: Number(row?.granted ?? 0), drawn: Number(row?.drawn ?? 0) };
  }

  async flushRedis(): Promise<void> {
    const client = this.redis.client();
    await client.flushall();
    client.disconnect();
  }

  /** Soon the account is what is stored, whatever instance one asks, and nothing is left in the bank. */
  async settled(tenant: string): Promise<void> {
    let seen: unknown;
    await waitUntil(
      async () => {
        const usages = await Promise.all(this.instances.map(({ tracker }) => tracker.read(tenant)));
        const { drawn } = await this.account(tenant);
        seen = { drawn, usages, held: this.storage.held(tenant) };
        return (
          drawn === 0 &&
          usages.every(
            ({ committedBytes, reservedBytes }) =>
              committedBytes === this.storage.held(tenant) && reservedBytes === 0,
          )
        );
      },
      { timeoutMs: 15_000, what: () => JSON.stringify(seen) },
    );
  }
}

/** Takes Redis away from one instance, and waits until it knows. */
export async function cutOff(instance: Instance): Promise<void> {
  instance.redisLink.down();
  await waitUntil(() => instance.redisState() !== 'closed');
}
