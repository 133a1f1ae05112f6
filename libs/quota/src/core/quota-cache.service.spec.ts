import { Budget } from './budget';
import { mbToBytes } from './bytes';
import { QuotaUnavailableError, UnknownTenantError } from './errors';
import { QuotaObserver } from './observer';
import type { TenantQuota } from './quota';
import { QuotaCacheService, type QuotaCacheOptions } from './quota-cache.service';
import { QuotaSource, SharedQuotaCache, type QuotaRow } from './quota-source';

function row(tenant: string, quotaMb: number): QuotaRow {
  const now = new Date(0);
  return {
    tenant,
    quotaMb,
    overageAllowed: true,
    overageLimitMb: 10,
    mode: null,
    version: 1,
    currentUsageBytes: 0,
    createdAt: now,
    updatedAt: now,
  };
}

/** A source that can be slow and can be away. */
class Source extends QuotaSource {
  loads = 0;
  down = false;
  gate: Promise<void> = Promise.resolve();
  readonly rows = new Map<string, { row: QuotaRow | null; stamp: number }>();

  async load(tenant: string): Promise<{ row: QuotaRow | null; stamp: number }> {
    this.loads += 1;
    const found = this.rows.get(tenant) ?? { row: null, stamp: 0 };
    await this.gate;
    if (this.down) throw new Error('connect ECONNREFUSED');
    return found;
  }
}

/** What instances share. Several services on one of these are several instances. */
class Shared extends SharedQuotaCache {
  down = false;
  readonly copies = new Map<string, TenantQuota>();
  private readonly listeners = new Set<(tenant: string, stamp: number) => void>();

  get(tenant: string): Promise<TenantQuota | null> {
    if (this.down) return Promise.reject(new QuotaUnavailableError('config'));
    return Promise.resolve(this.copies.get(tenant) ?? null);
  }

  put(quota: TenantQuota): Promise<void> {
    if (this.down) return Promise.reject(new QuotaUnavailableError('config'));
    const held = this.copies.get(quota.tenant);
    if (held === undefined || held.stamp <= quota.stamp) this.copies.set(quota.tenant, quota);
    return Promise.resolve();
  }

  async announce(quota: TenantQuota): Promise<void> {
    await this.put(quota);
    this.tell(quota.tenant, quota.stamp);
  }

  tell(tenant: string, stamp: number): void {
    for (const listener of this.listeners) listener(tenant, stamp);
  }

  subscribe(listener: (tenant: string, stamp: number) => void): Promise<() => Promise<void>> {
    this.listeners.add(listener);
    return Promise.resolve(() => {
      this.listeners.delete(listener);
      return Promise.resolve();
    });
  }
}

const OPTIONS: QuotaCacheOptions = {
  ttlMs: 1_000,
  maxTenants: 100,
  unknownTenant: 'default',
  defaultQuotaMb: 7,
};

function setUp(options: Partial<QuotaCacheOptions> = {}, shared: Shared | null = null) {
  const source = new Source();
  const observer = new QuotaObserver();
  const clock = { now: 0 };
  const make = (): QuotaCacheService =>
    new QuotaCacheService(source, shared, { ...OPTIONS, ...options }, observer, () => clock.now);
  const tiers: string[] = [];
  observer.on('cache', ({ tier, hit }) => tiers.push(`${tier}:${hit ? 'hit' : 'miss'}`));
  return { source, observer, clock, make, service: make(), tiers };
}

describe('QuotaCacheService', () => {
  it('loads a row once and serves it from memory until its time is over', async () => {
    const { source, service, clock, tiers } = setUp();
    source.rows.set('acme', { row: row('acme', 500), stamp: 3 });
    await service.getQuota('acme');
    const quota = await service.getQuota('acme');
    expect(quota).toEqual({
      tenant: 'acme',
      quotaBytes: mbToBytes(500),
      overageAllowed: true,
      overageBytes: mbToBytes(10),
      mode: null,
      stamp: 3,
      origin: 'tenant',
    });
    expect(source.loads).toBe(1);
    expect(tiers).toEqual(['memory:miss', 'postgres:hit', 'memory:hit']);
    clock.now = 1_000;
    await service.getQuota('acme');
    expect(source.loads).toBe(2);
  });

  it('has one load in flight for a tenant however many ask', async () => {
    const { source, service } = setUp();
    source.rows.set('acme', { row: row('acme', 5), stamp: 1 });
    const quotas = await Promise.all(Array.from({ length: 50 }, () => service.getQuota('acme')));
    expect(source.loads).toBe(1);
    expect(new Set(quotas.map((quota) => quota.quotaBytes))).toEqual(new Set([mbToBytes(5)]));
  });

  it('gives a tenant without a row the default quota', async () => {
    const { service } = setUp();
    expect(await service.getQuota('nobody')).toMatchObject({
      quotaBytes: mbToBytes(7),
      overageAllowed: false,
      origin: 'default',
      stamp: 0,
    });
  });

  it('refuses a tenant without a row where that is set, also from memory', async () => {
    const { service, source } = setUp({ unknownTenant: 'deny' });
    await expect(service.getQuota('nobody')).rejects.toBeInstanceOf(UnknownTenantError);
    await expect(service.getQuota('nobody')).rejects.toBeInstanceOf(UnknownTenantError);
    expect(source.loads).toBe(1);
  });

  it('takes the copy another instance left before it asks the source', async () => {
    const shared = new Shared();
    const { source, make, service } = setUp({}, shared);
    source.rows.set('acme', { row: row('acme', 5), stamp: 1 });
    await service.getQuota('acme');
    await make().getQuota('acme');
    expect(source.loads).toBe(1);
  });

  it('makes an announced change hold on another instance for its next request', async () => {
    const shared = new Shared();
    const { source, make, service } = setUp({}, shared);
    const other = make();
    await other.start();
    source.rows.set('acme', { row: row('acme', 5), stamp: 1 });
    await other.getQuota('acme');
    await service.announce(service.fromSource('acme', row('acme', 9), 2));
    expect((await other.getQuota('acme')).quotaBytes).toBe(mbToBytes(9));
    await other.stop();
    await service.announce(service.fromSource('acme', row('acme', 11), 3));
    expect((await other.getQuota('acme')).quotaBytes).toBe(mbToBytes(9));
  });

  it('does not keep what a load brings that began before a change was told of', async () => {
    const shared = new Shared();
    const { source, service } = setUp({}, shared);
    await service.start();
    source.rows.set('acme', { row: row('acme', 5), stamp: 1 });
    let open: () => void = () => undefined;
    source.gate = new Promise((resolve) => (open = resolve));
    const loading = service.getQuota('acme');
    await new Promise(setImmediate);
    source.rows.set('acme', { row: row('acme', 9), stamp: 2 });
    shared.copies.delete('acme');
    shared.tell('acme', 2);
    open();
    await loading;
    shared.copies.delete('acme');
    expect((await service.getQuota('acme')).quotaBytes).toBe(mbToBytes(9));
    await service.stop();
  });

  it('never goes back to an older copy', async () => {
    const { source, service, clock } = setUp();
    await service.announce(service.fromSource('acme', row('acme', 9), 5));
    source.rows.set('acme', { row: row('acme', 5), stamp: 4 });
    clock.now = 5_000;
    expect(await service.getQuota('acme')).toMatchObject({ quotaBytes: mbToBytes(9), stamp: 5 });
  });

  it('looks below when a store tells of a newer stamp than it holds', async () => {
    const { source, service } = setUp();
    source.rows.set('acme', { row: row('acme', 5), stamp: 1 });
    await service.getQuota('acme');
    source.rows.set('acme', { row: row('acme', 9), stamp: 2 });
    expect((await service.getQuotaSince('acme', 1)).stamp).toBe(1);
    expect((await service.getQuotaSince('acme', 2)).quotaBytes).toBe(mbToBytes(9));
  });

  it('begins another load when the one under way is too old for the stamp', async () => {
    const { source, service } = setUp();
    source.rows.set('acme', { row: row('acme', 5), stamp: 1 });
    let open: () => void = () => undefined;
    source.gate = new Promise((resolve) => (open = resolve));
    const old = service.getQuota('acme');
    await new Promise(setImmediate);
    source.rows.set('acme', { row: row('acme', 9), stamp: 2 });
    const fresh = service.getQuotaSince('acme', 2);
    open();
    expect((await fresh).stamp).toBe(2);
    expect((await old).stamp).toBe(1);
  });

  it('serves the last known good when the tiers below fail, and asks again after a second', async () => {
    const shared = new Shared();
    const { source, service, clock, observer } = setUp({}, shared);
    const errors: string[] = [];
    observer.on('error', ({ operation }) => errors.push(operation));
    source.rows.set('acme', { row: row('acme', 5), stamp: 1 });
    await service.getQuota('acme');
    source.down = true;
    shared.down = true;
    clock.now = 2_000;
    expect((await service.getQuota('acme')).stamp).toBe(1);
    expect((await service.getQuota('acme')).stamp).toBe(1);
    expect(source.loads).toBe(2);
    expect(errors).toEqual(['config_load', 'config_shared']);
    clock.now = 3_000;
    await service.getQuota('acme');
    expect(source.loads).toBe(3);
  });

  it('is unavailable, not unlimited, when nothing was ever known', async () => {
    const { source, service } = setUp();
    source.down = true;
    await expect(service.getQuota('acme')).rejects.toBeInstanceOf(QuotaUnavailableError);
  });

  it('is unavailable when only an older copy than a store demands is known', async () => {
    const { source, service } = setUp();
    source.rows.set('acme', { row: row('acme', 5), stamp: 1 });
    await service.getQuota('acme');
    source.down = true;
    await expect(service.getQuotaSince('acme', 2)).rejects.toBeInstanceOf(QuotaUnavailableError);
  });

  it('goes on when no copy can be left for others', async () => {
    const shared = new Shared();
    const { source, service } = setUp({}, shared);
    source.rows.set('acme', { row: row('acme', 5), stamp: 1 });
    shared.down = true;
    expect((await service.getQuota('acme')).stamp).toBe(1);
  });

  it('drops all copies when changes may have been missed', async () => {
    const shared = new Shared();
    const { source, service } = setUp({}, shared);
    await service.start();
    source.rows.set('acme', { row: row('acme', 5), stamp: 1 });
    await service.getQuota('acme');
    shared.copies.clear();
    shared.tell('*', 0);
    await service.getQuota('acme');
    expect(source.loads).toBe(2);
    await service.stop();
  });

  it('takes a change made by hand in the table when told to', async () => {
    const { source, service } = setUp();
    source.rows.set('acme', { row: row('acme', 5), stamp: 1 });
    await service.getQuota('acme');
    source.rows.set('acme', { row: row('acme', 6), stamp: 1 });
    await service.invalidate('acme');
    expect((await service.getQuota('acme')).quotaBytes).toBe(mbToBytes(6));
  });

  it('holds no more tenants than it may', async () => {
    const { source, service } = setUp({ maxTenants: 2 });
    for (const tenant of ['a', 'b', 'c', 'a']) await service.getQuota(tenant);
    expect(source.loads).toBe(4);
    await service.getQuota('c');
    expect(source.loads).toBe(4);
  });

  it('waits a moment, no more, for a newer copy than it holds', async () => {
    const { source, service, clock } = setUp();
    source.rows.set('acme', { row: row('acme', 5), stamp: 1 });
    await service.getQuota('acme');
    clock.now = 2_000;
    let open: () => void = () => undefined;
    source.gate = new Promise((resolve) => (open = resolve));
    source.rows.set('acme', { row: row('acme', 9), stamp: 2 });
    expect((await service.getQuota('acme')).stamp).toBe(1);
    // The load goes on, and its result is taken.
    open();
    while ((await service.getQuota('acme')).stamp === 1) await new Promise(setImmediate);
    expect(source.loads).toBe(2);
  });

  it('lets one caller leave and the load go on for the others', async () => {
    const { source, service } = setUp();
    source.rows.set('acme', { row: row('acme', 5), stamp: 1 });
    let open: () => void = () => undefined;
    source.gate = new Promise((resolve) => (open = resolve));
    const patient = service.getQuota('acme', new Budget(5_000));
    await expect(service.getQuota('acme', new Budget(20))).rejects.toMatchObject({
      operation: 'config',
      applied: 'no',
    });
    open();
    expect((await patient).stamp).toBe(1);
    expect(source.loads).toBe(1);
  });

  it('does not wait for the copy it leaves for others', async () => {
    const shared = new Shared();
    jest.spyOn(shared, 'put').mockReturnValue(new Promise(() => undefined));
    const { source, service } = setUp({}, shared);
    source.rows.set('acme', { row: row('acme', 5), stamp: 1 });
    expect((await service.getQuota('acme')).stamp).toBe(1);
  });

  it('takes a change that cannot be told of now, and tells of it when the store is back', async () => {
    const shared = new Shared();
    const { make, service, observer } = setUp({}, shared);
    const other = make();
    await other.start();
    await service.announce(service.fromSource('acme', row('acme', 5), 1));
    expect((await other.getQuota('acme')).stamp).toBe(1);
    shared.down = true;
    const errors: string[] = [];
    observer.on('error', ({ operation }) => errors.push(operation));
    await service.announce(service.fromSource('acme', row('acme', 9), 2));
    expect((await service.getQuota('acme')).stamp).toBe(2);
    expect((await other.getQuota('acme')).stamp).toBe(1);
    expect(service.pendingAnnouncements).toBe(1);
    expect(errors).toEqual(['config_announce']);
    shared.down = false;
    while (service.pendingAnnouncements > 0) await new Promise((r) => setTimeout(r, 20));
    expect((await other.getQuota('acme')).stamp).toBe(2);
    await service.stop();
  });
});
