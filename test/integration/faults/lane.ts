import { randomUUID } from 'node:crypto';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  PostgresQuotaStore,
  QuotaAdmin,
  QuotaChecker,
  QuotaModule,
  quotaEntities,
  quotaPostgresOptions,
  quotaRedisOptions,
  StoreBreakers,
  UsageTracker,
  UsageUpkeep,
  type QuotaModuleOptions,
} from '@app/quota';
import { type Redis } from 'ioredis';
import { DataSource } from 'typeorm';
import type { BankUpkeep } from '../../../libs/quota/src/core/bank-upkeep';
import type { BankedTracker } from '../../../libs/quota/src/core/banked-tracker';
import { BANK_UPKEEP } from '../../../libs/quota/src/nest/quota.lifecycle';
import { createDataSource } from '../../../src/database/data-source';
import { waitUntil, type RedisServer } from '../../support';
import { Storage } from '../bank/storage';
import { audit, type Audit } from '../redis/auditor';
import { FaultLink } from './fault-link';
import { postgresProtocol, redisProtocol } from './wire';

export type StoreName = 'redis' | 'postgres';

/** The bank's own ledger and what it has granted. */
export interface Account {
  readonly granted: number;
  readonly drawn: number;
  /** Something is to be folded or dropped. */
  readonly pending: boolean;
}

/**
 * An instance of an application with links, a database and a prefix of its own. Nothing of it happens
 * by itself: its upkeep runs when the test says so, so that commands can be counted.
 */
export class Lane {
  readonly storage = new Storage();

  private constructor(
    readonly links: Readonly<Record<StoreName, FaultLink>>,
    readonly module: TestingModule,
    private readonly client: Redis,
    private readonly dataSource: DataSource,
    /** Both past every link. */
    readonly raw: Redis,
    readonly probe: DataSource,
    readonly prefix: string,
  ) {}

  /** @param databaseUrl of a database of its own, migrated */
  static async start(redis: RedisServer, databaseUrl: string, banked: boolean): Promise<Lane> {
    const url = new URL(databaseUrl);
    const probe = await createDataSource({ databaseUrl, dataDir: 'unused' });
    const links = {
      redis: await FaultLink.start(redis.port, redisProtocol),
      postgres: await FaultLink.start(Number(url.port), postgresProtocol),
    };
    url.port = String(links.postgres.port);
    const client = redis.client({ ...quotaRedisOptions, port: links.redis.port });
    await waitUntil(() => client.status === 'ready');
    const dataSource = await new DataSource({
      type: 'postgres',
      entities: quotaEntities,
      extra: { ...quotaPostgresOptions, max: 4, connectionString: url.href },
    }).initialize();
    const prefix = `q${randomUUID().slice(0, 8)}`;
    const lane = new Lane(links, undefined!, client, dataSource, redis.client(), probe, prefix);
    const options: QuotaModuleOptions = {
      ...{ redis: client, dataSource, redisPrefix: prefix, reservationTtlSeconds: 1 },
      ...(banked ? { usageSource: lane.storage } : { bank: false }),
    };
    const module = await Test.createTestingModule({
      imports: [QuotaModule.forRoot(options)],
    }).compile();
    return Object.assign(lane, { module });
  }

  get checker(): QuotaChecker {
    return this.module.get(QuotaChecker);
  }

  get admin(): QuotaAdmin {
    return this.module.get(QuotaAdmin);
  }

  get tracker(): UsageTracker {
    return this.module.get(UsageTracker);
  }

  get upkeep(): UsageUpkeep {
    return this.module.get(UsageUpkeep);
  }

  /** Null without a bank. */
  get bankUpkeep(): BankUpkeep | null {
    return this.module.get<BankUpkeep | null>(BANK_UPKEEP);
  }

  /** What waits for a store to come back. */
  get waiting(): number {
    return this.bankUpkeep === null ? 0 : (this.tracker as BankedTracker).waiting;
  }

  /** A tenant of 1 MB that this instance has not heard of yet. */
  async newTenant(): Promise<string> {
    const tenant = `t-${randomUUID()}`;
    const patch = { quotaMb: 1, overageAllowed: false };
    await new PostgresQuotaStore(this.probe).change(tenant, patch, { actor: 'test' });
    return tenant;
  }

  async forget(tenant: string): Promise<void> {
    await this.probe.query('DELETE FROM tenant_cache_quotas WHERE tenant_id = $1', [tenant]);
  }

  /** As if Redis had been restarted without its data, for this lane. */
  async wipe(): Promise<void> {
    const keys = await this.raw.keys(`${this.prefix}:*`);
    if (keys.length > 0) await this.raw.del(keys);
  }

  audit(tenant: string): Promise<Audit> {
    return audit(this.raw, tenant, this.prefix);
  }

  async isLeased(name: string): Promise<boolean> {
    return (await this.raw.exists(`${this.prefix}:lease:${name}`)) === 1;
  }

  /** As when its time is over. */
  async endLease(name: string): Promise<void> {
    await this.raw.del(`${this.prefix}:lease:${name}`);
  }

  /** As when another instance has it, for longer than any case takes. */
  async holdLease(name: string): Promise<void> {
    await this.raw.set(`${this.prefix}:lease:${name}`, 'another', 'PX', 60_000);
  }

  /** Of all values beside the ledger. */
  async valueBytes(tenant: string): Promise<number> {
    const values = await this.raw.hvalsBuffer(`${this.prefix}:{${tenant}}:v`);
    return values.reduce((sum, { length }) => sum + length, 0);
  }

  /** Of the grant, as the ledger knows it. */
  async grantOf(tenant: string): Promise<number> {
    return Number((await this.raw.hget(`${this.prefix}:{${tenant}}:s`, 'gb')) ?? 0);
  }

  async account(tenant: string): Promise<Account> {
    const [row] = await this.probe.query<{ granted: string; drawn: string; pending: boolean }[]>(
      `SELECT granted_bytes AS granted, committed + reserved + folding_bytes AS drawn, pending
       FROM quota_ledger WHERE tenant_id = $1`,
      [tenant],
    );
    const { granted = 0, drawn = 0, pending = false } = row ?? {};
    return { granted: Number(granted), drawn: Number(drawn), pending };
  }

  /** Both stores are in use again. */
  /** Resolves when nothing is sent to Redis any more. */
  async cutOff(): Promise<void> {
    await waitUntil(() => this.module.get(StoreBreakers).states().redis !== 'closed');
  }

  async ready(): Promise<void> {
    const breakers = this.module.get(StoreBreakers);
    await waitUntil(
      () =>
        this.client.status === 'ready' &&
        Object.values(breakers.states()).every((state) => state === 'closed'),
    );
  }

  async close(): Promise<void> {
    await this.bankUpkeep?.stop();
    this.module.get(StoreBreakers).stop();
    this.client.disconnect();
    this.raw.disconnect();
    await this.dataSource.destroy();
    await Promise.all([this.probe.destroy(), ...Object.values(this.links).map((l) => l.close())]);
  }
}
