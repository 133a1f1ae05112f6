import type { DataSource } from 'typeorm';
import type { Cluster, Redis } from 'ioredis';
import { z } from 'zod';
import { mbToBytes } from '../core/bytes';
import { InvalidOptionsError } from '../core/errors';
import { MAX_QUOTA_MB, type QuotaStore } from '../core/quota-store';
import { TENANT_ID_PATTERN } from '../core/tenant';
import type { UsageSource, UsageTracker } from '../core/usage-tracker';
import {
  sizeFromBody,
  tenantFromHeader,
  type KeyResolver,
  type SizeResolver,
  type TenantResolver,
  type TtlResolver,
} from './resolvers';

/** Token of the checked options with their defaults. */
export const QUOTA_OPTIONS = Symbol('QuotaModuleOptions');

const whole = (min: number, max: number): z.ZodNumber => z.int().min(min).max(max);
const percentage = z.number().min(0).max(100);
const tenantId = z.string().regex(TENANT_ID_PATTERN, 'must be a tenant id');
const pathPrefix = z.string().regex(/^\/.*[^/]$/, 'must begin with "/" and not end with one');
const fn = <T>(): z.ZodType<T> =>
  z.custom<T>((value) => typeof value === 'function', 'must be a function');
const instance = <T>(): z.ZodType<T> =>
  z.custom<T>((value) => typeof value === 'object' && value !== null, 'must be an object');

/** Every option with its default. Absent `redis`: usage in this process. Absent `dataSource`: quotas in it. */
const schema = z.strictObject({
  /** False: off for everyone; nothing is checked or charged. */
  enabled: z.boolean().default(true),
  /**
   * True: off for everyone, and nothing changes that at run time. Unless set: true where `enabled` is
   * false.
   */
  killSwitch: z.boolean().optional(),
  /** True: shadow, for everyone not named in `rolloutTenants` and without a mode of its own. */
  logOnly: z.boolean().default(false),
  /** Share of tenants that is enforced; the others are in shadow. */
  rolloutPercent: percentage.default(100),
  /** Always enforced. */
  rolloutTenants: z.array(tenantId).default([]),
  /** So often the rollout that was set at run time is looked up, besides when it is told of. 0: never. */
  rolloutRefreshSeconds: whole(0, 3_600).default(5),
  /** With `dataSource`: keeps the decisions on writes, for `Simulation` and the impact of a rollout. */
  recordDecisions: z.boolean().default(false),
  /** Of these, the latest so many at most. */
  decisionsMaxRows: whole(1_000, 1_000_000).default(500_000),
  /** None that is older than this. */
  decisionsMaxAgeHours: whole(1, 8_760).default(168),
  /** How long a copy of a tenant's quota serves from memory and from Redis. */
  quotaCacheTtlSeconds: whole(1, 86_400).default(300),
  /** Tenants whose quota is kept in memory at most. */
  quotaCacheMaxTenants: whole(1, 1_000_000).default(10_000),
  maxWriteSizeMb: whole(1, 2_047).default(100),
  defaultQuotaMb: whole(1, MAX_QUOTA_MB).default(100),
  /** What a tenant without a quota of its own gets. */
  unknownTenant: z.enum(['default', 'deny']).default('default'),
  /** Not guarded; matched by whole path segments. */
  excludedPaths: z.array(pathPrefix).default(['/health', '/metrics', '/docs', '/openapi.json']),
  /** Bytes of a write that was never settled go back after this time. */
  reservationTtlSeconds: whole(1, 3_600).default(60),
  /**
   * At most so often every instance looks for expired entries and lapsed reservations of all tenants,
   * so that they go though the tenant does nothing. 0: never; then they go with its next request.
   */
  sweepSeconds: whole(0, 3_600).default(4),
  /** How often used bytes are read, for the table of quotas and for byte-hours, over all instances. 0: never. */
  usageSyncSeconds: whole(0, 86_400).default(300),
  /**
   * How often the counts of this process (writes, refusals, requests) are written to the database, for
   * bills; a process that is killed loses so much of them. 0: nothing is counted.
   */
  usageFlushSeconds: whole(0, 3_600).default(10),
  /** How long hourly usage and daily metrics are kept. */
  usageRetentionDays: whole(1, 3_650).default(400),
  /** How often the usage of all tenants is recomputed, over all instances. 0: only when asked for. */
  reconcileSeconds: whole(0, 604_800).default(3_600),
  /**
   * With `redis` and `dataSource`: PostgreSQL grants Redis the tenant's limit in chunks, and decides
   * where Redis cannot be asked. False where nothing could be stored without Redis anyway.
   */
  bank: z.boolean().default(true),
  /** So much is granted beyond what is used, at most an eighth of the limit. */
  grantChunkMb: whole(1, MAX_QUOTA_MB).default(8),
  /** With no store that could decide: refuse (503), or allow a fixed budget. */
  onOutage: z.enum(['deny', 'allow']).default('deny'),
  /** That budget of each instance, of all its tenants together. */
  outageBudgetMb: whole(0, MAX_QUOTA_MB).default(10),
  /** How long a shutdown waits for open reservations. What is open then goes back at its deadline. */
  drainSeconds: whole(0, 300).default(10),
  /** True: spans carry the tenant's id as `quota.tenant`. */
  traceTenantIds: z.boolean().default(false),
  /** Sends RateLimit-Policy and RateLimit as well. */
  rateLimitHeaders: z.boolean().default(false),
  /** Prefix of every Redis key. */
  redisPrefix: z
    .string()
    .regex(/^[\w.:-]{1,64}$/, 'must be 1 to 64 of A-Z a-z 0-9 _ . : -')
    .default('quota'),
  redis: instance<Redis | Cluster>().optional(),
  dataSource: instance<DataSource>().optional(),
  /** A store of quotas of your own, instead of `dataSource`. */
  store: instance<QuotaStore>().optional(),
  /** A tracker of your own, instead of `redis`. */
  tracker: instance<UsageTracker>().optional(),
  /** Where usage is recomputed from, when what is stored lies outside the ledger. */
  usageSource: instance<UsageSource>().optional(),
  tenant: fn<TenantResolver>().default(() => tenantFromHeader()),
  size: fn<SizeResolver>().default(() => sizeFromBody()),
  key: fn<KeyResolver>().default(() => () => undefined),
  ttl: fn<TtlResolver>().default(() => () => undefined),
});

/** What `QuotaModule.forRoot` takes. Everything has a default. */
export type QuotaModuleOptions = z.input<typeof schema>;

/** Checked options with defaults, and MB turned into bytes. */
export type ResolvedQuotaOptions = z.output<typeof schema> & { readonly maxWriteBytes: number };

/** @throws InvalidOptionsError naming each wrong option and what is allowed. */
export function resolveOptions(options: QuotaModuleOptions = {}): ResolvedQuotaOptions {
  const parsed = schema.safeParse(options);
  if (!parsed.success) {
    throw new InvalidOptionsError(
      parsed.error.issues.map((issue) => `${issue.path.join('.') || 'options'}: ${issue.message}`),
    );
  }
  return { ...parsed.data, maxWriteBytes: mbToBytes(parsed.data.maxWriteSizeMb) };
}
