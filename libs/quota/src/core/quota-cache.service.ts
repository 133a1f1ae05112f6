import { LRUCache } from 'lru-cache';
import { mbToBytes } from './bytes';
import { errorEvent } from './error-event';
import { QuotaUnavailableError, UnknownTenantError } from './errors';
import type { QuotaObserver } from './observer';
import type { TenantQuota } from './quota';
import type { QuotaRow, QuotaSource, SharedQuotaCache } from './quota-source';

export interface QuotaCacheOptions {
  /** How long a copy in memory or in Redis serves, in ms. */
  readonly ttlMs: number;
  /** At most so many tenants are kept in memory; the least recently used go first. */
  readonly maxTenants: number;
  /** What a tenant without a row gets; `deny`: it is refused. */
  readonly unknownTenant: 'default' | 'deny';
  readonly defaultQuotaMb: number;
}

interface Load {
  readonly promise: Promise<TenantQuota>;
  /** A change of this stamp was told of while the load was under way. */
  outdatedTo: number;
}

interface Held {
  readonly quota: TenantQuota;
  /** Until then it serves without a look at the tiers below; afterwards only as last known good. */
  freshUntil: number;
}

/** While the tiers below fail, a last known good copy serves this long before they are asked again. */
const RETRY_AFTER_FAILURE_MS = 1_000;

/** A tenant's row as the core sees it. */
export function quotaFromRow(row: QuotaRow, stamp: number): TenantQuota {
  return {
    tenant: row.tenant,
    quotaBytes: mbToBytes(row.quotaMb),
    overageAllowed: row.overageAllowed,
    overageBytes: mbToBytes(row.overageLimitMb),
    mode: row.mode,
    stamp,
    origin: 'tenant',
  };
}

/**
 * Tenant quotas through memory, Redis, PostgreSQL, in that order, with one load in flight a tenant.
 * A copy never gives way to an older one. When the tiers below fail, the last known good serves.
 */
export class QuotaCacheService {
  private readonly memory: LRUCache<string, Held>;
  private readonly loading = new Map<string, Load>();
  private unsubscribe: (() => Promise<void>) | undefined;

  constructor(
    private readonly source: QuotaSource,
    private readonly shared: SharedQuotaCache | null,
    private readonly options: QuotaCacheOptions,
    private readonly observer: QuotaObserver,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.memory = new LRUCache({ max: options.maxTenants });
  }

  /** Begins to listen for changes on other instances. */
  async start(): Promise<void> {
    this.unsubscribe = await this.shared?.subscribe((tenant, stamp) => {
      if (tenant === '*') this.outdateAll();
      else this.outdate(tenant, stamp);
    });
  }

  async stop(): Promise<void> {
    await this.unsubscribe?.();
    this.unsubscribe = undefined;
  }

  /**
   * The tenant's quota.
   *
   * @throws UnknownTenantError when it has none and such tenants are refused.
   * @throws QuotaUnavailableError when no tier answers and no copy was ever held.
   */
  async getQuota(tenant: string): Promise<TenantQuota> {
    const held = this.memory.get(tenant);
    const fresh = held !== undefined && held.freshUntil > this.now();
    this.observer.emit('cache', { tier: 'memory', hit: fresh });
    return this.admit(fresh ? held.quota : await this.load(tenant, 0));
  }

  /** The quota, at least as new as `stamp`, which another store has told of. Throws as {@link getQuota}. */
  async getQuotaSince(tenant: string, stamp: number): Promise<TenantQuota> {
    const held = this.memory.get(tenant);
    if (held !== undefined && held.quota.stamp >= stamp) return this.admit(held.quota);
    const quota = await this.load(tenant, stamp);
    if (quota.stamp >= stamp) return this.admit(quota);
    // A load that began before the change was shared with us; the next one begins after it.
    return this.admit(await this.load(tenant, stamp));
  }

  /** Loads the tenant's row anew and makes it hold everywhere, as after a change by hand in SQL. */
  async invalidate(tenant: string): Promise<void> {
    const { row, stamp } = await this.source.load(tenant);
    await this.announce(this.fromSource(tenant, row, stamp));
  }

  /** Makes a change hold on every instance for the next request. */
  async announce(quota: TenantQuota): Promise<void> {
    this.hold(quota, this.options.ttlMs);
    await this.shared?.announce(quota, this.options.ttlMs);
  }

  /** The quota a row stands for, or the default where there is none. */
  fromSource(tenant: string, row: QuotaRow | null, stamp: number): TenantQuota {
    if (row !== null) return quotaFromRow(row, stamp);
    return {
      tenant,
      quotaBytes: mbToBytes(this.options.defaultQuotaMb),
      overageAllowed: false,
      overageBytes: 0,
      mode: null,
      stamp,
      origin: 'default',
    };
  }

  private admit(quota: TenantQuota): TenantQuota {
    if (quota.origin === 'default' && this.options.unknownTenant === 'deny') {
      throw new UnknownTenantError(quota.tenant);
    }
    return quota;
  }

  private load(tenant: string, minStamp: number): Promise<TenantQuota> {
    const running = this.loading.get(tenant);
    if (running !== undefined) return running.promise;
    const promise = this.loadBelow(tenant, minStamp).finally(() => {
      const load = this.loading.get(tenant);
      this.loading.delete(tenant);
      if (load !== undefined && load.outdatedTo >= 0) this.outdate(tenant, load.outdatedTo);
    });
    this.loading.set(tenant, { promise, outdatedTo: -1 });
    return promise;
  }

  private async loadBelow(tenant: string, minStamp: number): Promise<TenantQuota> {
    const shared = await this.loadShared(tenant);
    if (shared !== null && shared.stamp >= minStamp) return this.hold(shared, this.options.ttlMs);
    try {
      const { row, stamp } = await this.source.load(tenant);
      this.observer.emit('cache', { tier: 'postgres', hit: row !== null });
      const quota = this.hold(this.fromSource(tenant, row, stamp), this.options.ttlMs);
      if (quota.origin === 'tenant') await this.offer(quota);
      return quota;
    } catch (error) {
      return this.lastKnownGood(tenant, minStamp, error);
    }
  }

  private async loadShared(tenant: string): Promise<TenantQuota | null> {
    if (this.shared === null) return null;
    try {
      const quota = await this.shared.get(tenant);
      this.observer.emit('cache', { tier: 'redis', hit: quota !== null });
      return quota;
    } catch (error) {
      this.failed('config_shared', tenant, error);
      return null;
    }
  }

  private async offer(quota: TenantQuota): Promise<void> {
    try {
      await this.shared?.put(quota, this.options.ttlMs);
    } catch (error) {
      this.failed('config_shared', quota.tenant, error);
    }
  }

  private lastKnownGood(tenant: string, minStamp: number, error: unknown): TenantQuota {
    this.failed('config_load', tenant, error);
    const held = this.memory.get(tenant);
    if (held === undefined || held.quota.stamp < minStamp) {
      throw new QuotaUnavailableError('config', { cause: error, applied: 'no' });
    }
    held.freshUntil = this.now() + RETRY_AFTER_FAILURE_MS;
    return held.quota;
  }

  /** Keeps the newer of what is held and what came. */
  private hold(quota: TenantQuota, ttlMs: number): TenantQuota {
    const held = this.memory.get(quota.tenant);
    if (held !== undefined && held.quota.stamp > quota.stamp) return held.quota;
    this.memory.set(quota.tenant, { quota, freshUntil: this.now() + ttlMs });
    return quota;
  }

  private outdate(tenant: string, stamp: number): void {
    const load = this.loading.get(tenant);
    if (load !== undefined) load.outdatedTo = Math.max(load.outdatedTo, stamp);
    const held = this.memory.peek(tenant);
    if (held !== undefined && held.quota.stamp <= stamp) held.freshUntil = 0;
  }

  private outdateAll(): void {
    for (const held of this.memory.values()) held.freshUntil = 0;
  }

  private failed(operation: string, tenant: string, error: unknown): void {
    this.observer.emit('error', errorEvent(operation, error, tenant));
  }
}
