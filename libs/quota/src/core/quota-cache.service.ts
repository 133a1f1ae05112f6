import { LRUCache } from 'lru-cache';
import { Budget, inTime } from './budget';
import { mbToBytes } from './bytes';
import { errorEvent } from './error-event';
import { QuotaUnavailableError, UnknownTenantError } from './errors';
import type { QuotaObserver } from './observer';
import { PendingAnnouncements } from './pending-announcements';
import type { TenantQuota } from './quota';
import {
  lossOf,
  rolloutWordOf,
  type QuotaRow,
  type QuotaSource,
  type SharedQuotaCache,
} from './quota-source';

export interface QuotaCacheOptions {
  /** How long a copy in memory or in Redis serves, in ms. */
  readonly ttlMs: number;
  /** At most so many tenants are kept in memory; the least recently used go first. */
  readonly maxTenants: number;
  /** What a tenant without a row gets; `deny`: it is refused. */
  readonly unknownTenant: 'default' | 'deny';
  readonly defaultQuotaMb: number;
}

export interface OtherNews {
  /** What was announced of the rollout; null: something may have been missed. */
  rollout?(word: string | null): void;
  /** A tenant of whom the ledger has lost what it knew; null: that may have been missed of any. */
  loss?(tenant: string | null): void;
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
  /** When it came here. */
  readonly heldAt: number;
}

const HIT = { tier: 'memory', hit: true } as const;
const MISSED = { tier: 'memory', hit: false } as const;

/** While the tiers below fail, a last known good copy serves this long before they are asked again. */
const RETRY_AFTER_FAILURE_MS = 1_000;

/** A request that could do with the copy held waits so long for a newer one, in ms. */
const PATIENCE_MS = 150;

/**
 * So long a load waits for the shared copy, in ms, before it asks the source: a Redis that hangs must
 * leave a request the time to find that out with its reservation too, and to ask the bank.
 */
const SHARED_PATIENCE_MS = 100;

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
  private readonly pending: PendingAnnouncements;
  private unsubscribe: (() => Promise<void>) | undefined;

  constructor(
    private readonly source: QuotaSource,
    private readonly shared: SharedQuotaCache | null,
    private readonly options: QuotaCacheOptions,
    private readonly observer: QuotaObserver,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.memory = new LRUCache({ max: options.maxTenants });
    this.pending = new PendingAnnouncements((quota) => this.tell(quota));
  }

  /** Tenants whose quota is kept in memory now; at most `maxTenants`. */
  get heldTenants(): number {
    return this.memory.size;
  }

  /**
   * Begins to listen for changes on other instances.
   *
   * @param others told of what else is announced on the same channel
   */
  async start(others: OtherNews = {}): Promise<void> {
    this.unsubscribe = await this.shared?.subscribe((name, stamp) => {
      const [word, loser] = [rolloutWordOf(name), lossOf(name)];
      const missed = name === '*';
      if (missed) this.outdateAll();
      else if (word === null && loser === null) this.outdate(name, stamp);
      if (missed || word !== null) others.rollout?.(word);
      if (missed || loser !== null) others.loss?.(loser);
    });
  }

  async stop(): Promise<void> {
    this.pending.stop();
    await this.unsubscribe?.();
    this.unsubscribe = undefined;
  }

  /** The tenant's quota where it is held and fresh, without a look elsewhere. Throws as {@link getQuota}. */
  freshQuota(tenant: string): TenantQuota | null {
    const held = this.memory.get(tenant);
    if (held === undefined || held.freshUntil <= this.now()) return null;
    this.observer.emit('cache', HIT);
    return this.admit(held.quota);
  }

  /**
   * The tenant's quota.
   *
   * @throws UnknownTenantError when it has none and such tenants are refused.
   * @param budget what the request has left to wait; the load itself goes on, for others and for later
   * @throws QuotaUnavailableError when no tier answers in time and no copy was ever held.
   */
  async getQuota(tenant: string, budget = new Budget()): Promise<TenantQuota> {
    const fresh = this.freshQuota(tenant);
    if (fresh !== null) return fresh;
    this.observer.emit('cache', MISSED);
    const held = this.memory.get(tenant);
    if (held === undefined) return this.admit(await this.wait(budget, tenant, 0));
    try {
      return this.admit(
        await budget.step('config', () => inTime('config', PATIENCE_MS, this.load(tenant, 0))),
      );
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      // How the load ends is told of there.
      held.freshUntil = this.now() + RETRY_AFTER_FAILURE_MS;
      return this.admit(held.quota);
    }
  }

  /** The copy held of the tenant's quota, for operators to look at; null: none. */
  copyOf(tenant: string): { stamp: number; ageMs: number; fresh: boolean } | null {
    const held = this.memory.peek(tenant);
    if (held === undefined) return null;
    const now = this.now();
    const { quota, heldAt, freshUntil } = held;
    return { stamp: quota.stamp, ageMs: now - heldAt, fresh: freshUntil > now };
  }

  /** The quota, at least as new as `stamp`, which another store has told of. Throws as {@link getQuota}. */
  async getQuotaSince(tenant: string, stamp: number, budget = new Budget()): Promise<TenantQuota> {
    const held = this.memory.get(tenant);
    if (held !== undefined && held.quota.stamp >= stamp) return this.admit(held.quota);
    const quota = await this.wait(budget, tenant, stamp);
    if (quota.stamp >= stamp) return this.admit(quota);
    // A load that began before the change was shared with us; the next one begins after it.
    return this.admit(await this.wait(budget, tenant, stamp));
  }

  /** Loads the tenant's row anew and makes it hold everywhere, as after a change by hand in SQL. */
  async invalidate(tenant: string): Promise<void> {
    const { row, stamp } = await this.source.load(tenant);
    await this.announce(this.fromSource(tenant, row, stamp));
  }

  /**
   * Makes a change hold on every instance for the next request. The change is made, whatever becomes
   * of this: while the shared store is away it holds here, and is told of when that is back.
   */
  async announce(quota: TenantQuota): Promise<void> {
    this.hold(quota, this.options.ttlMs);
    try {
      await this.tell(quota);
      this.pending.settle(quota);
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      this.failed('config_announce', quota.tenant, error);
      this.pending.keep(quota);
    }
  }

  /** Changes that other instances have not been told of yet. */
  get pendingAnnouncements(): number {
    return this.pending.size;
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

  private async tell(quota: TenantQuota): Promise<void> {
    await this.shared?.announce(quota, this.options.ttlMs);
  }

  private wait(budget: Budget, tenant: string, minStamp: number): Promise<TenantQuota> {
    return budget.step('config', () => this.load(tenant, minStamp), { applied: 'no' });
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
    const { shared, error: sharedError } = await this.loadShared(tenant);
    if (shared !== null && shared.stamp >= minStamp) return this.hold(shared, this.options.ttlMs);
    try {
      const { row, stamp } = await this.source.load(tenant);
      this.observer.emit('cache', { tier: 'postgres', hit: row !== null });
      const quota = this.hold(this.fromSource(tenant, row, stamp), this.options.ttlMs);
      if (sharedError !== undefined) this.failed('config_shared', tenant, sharedError);
      // Nobody here waits for that: it is for the others.
      else if (quota.origin === 'tenant') void this.offer(quota);
      return quota;
    } catch (error) {
      const held = this.lastKnownGood(tenant, minStamp, error);
      if (sharedError !== undefined) this.failed('config_shared', tenant, sharedError);
      return held;
    }
  }

  private async loadShared(
    tenant: string,
  ): Promise<{ readonly shared: TenantQuota | null; readonly error?: unknown }> {
    if (this.shared === null) return { shared: null };
    try {
      const copy = this.shared.get(tenant);
      const shared = await inTime('config-get', SHARED_PATIENCE_MS, copy);
      this.observer.emit('cache', { tier: 'redis', hit: shared !== null });
      return { shared };
    } catch (error) {
      return { shared: null, error };
    }
  }

  private async offer(quota: TenantQuota): Promise<void> {
    try {
      await this.shared?.put(quota, this.options.ttlMs);
    } catch (error) {
      this.failed('config_shared', quota.tenant, error);
    }
  }

  /** Tells of a failure that is survived; one that is not, whoever answers with it will count. */
  private lastKnownGood(tenant: string, minStamp: number, error: unknown): TenantQuota {
    const held = this.memory.get(tenant);
    if (held === undefined || held.quota.stamp < minStamp) {
      throw new QuotaUnavailableError('config', { cause: error, applied: 'no' });
    }
    this.failed('config_load', tenant, error);
    held.freshUntil = this.now() + RETRY_AFTER_FAILURE_MS;
    return held.quota;
  }

  /** Keeps the newer of what is held and what came. */
  private hold(quota: TenantQuota, ttlMs: number): TenantQuota {
    const held = this.memory.get(quota.tenant);
    if (held !== undefined && held.quota.stamp > quota.stamp) return held.quota;
    const heldAt = this.now();
    this.memory.set(quota.tenant, { quota, freshUntil: heldAt + ttlMs, heldAt });
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
