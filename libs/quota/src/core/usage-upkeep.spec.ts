import { randomUUID } from 'node:crypto';
import { MemoryQuotaStore } from '../adapters/memory/memory-quota-store';
import { MemoryUsageTracker } from '../adapters/memory/memory-usage-tracker';
import { QuotaUnavailableError } from './errors';
import { LocalLease } from './lease';
import { QuotaObserver, type QuotaEvents } from './observer';
import { Reconciler } from './reconciler';
import { Rounds } from './rounds';
import { UsageUpkeep } from './usage-upkeep';

const LIMITS = { quotaBytes: 1e9, hardBytes: 1e9 };
const OFF = { sweepMs: 0, usageSyncMs: 0, reconcileMs: 0 };

function setUp(options: Partial<typeof OFF> = {}, lease = new LocalLease()) {
  let now = 1_000;
  const tracker = new MemoryUsageTracker(() => now);
  const store = new MemoryQuotaStore();
  const observer = new QuotaObserver();
  const events: [keyof QuotaEvents, object][] = [];
  for (const name of ['swept', 'reconciled', 'error'] as const) {
    observer.on(name, (event) => events.push([name, event]));
  }
  const reconciler = new Reconciler(tracker, null, observer, { lease });
  const upkeep = new UsageUpkeep(
    { tracker, store, reconciler, lease, observer },
    { ...OFF, ...options },
  );
  const hold = async (tenant: string, key: string, bytes: number, holdMs = 60_000) => {
    const request = { tenant, id: randomUUID(), key, bytes, limits: LIMITS, enforce: true };
    const reply = await tracker.reserve({ ...request, stamp: 0, holdMs });
    if (reply.outcome !== 'reserved') throw new Error(reply.outcome);
    return { ...request, generation: reply.generation };
  };
  const put = async (tenant: string, key: string, bytes: number, ttlMs?: number) =>
    tracker.commit({ ...(await hold(tenant, key, bytes)), ...(ttlMs !== undefined && { ttlMs }) });
  const pass = (ms: number): void => void (now += ms);
  return { tracker, store, observer, events, upkeep, hold, put, pass };
}

/** Until the rounds have come to it. */
async function until(done: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await done())) await new Promise((resolve) => setImmediate(resolve));
}

describe('UsageUpkeep', () => {
  it('sweeps what expired and lapsed of tenants that do nothing', async () => {
    const { upkeep, tracker, hold, put, pass, events } = setUp();
    for (let i = 0; i < 1_500; i += 1) await put(`idle-${i}`, 'a', 1);
    await put('acme', 'stays', 5);
    await put('acme', 'goes', 7, 100);
    await hold('beta', 'never-committed', 11, 100);
    expect(await upkeep.sweep()).toMatchObject({ expiredEntries: 0, more: false });
    expect(events).toEqual([]);
    pass(100);
    const swept = { expiredEntries: 1, expiredReservations: 1, freedBytes: 18 };
    expect(await upkeep.sweep()).toEqual({ ...swept, more: false });
    expect(events).toEqual([['swept', swept]]);
    expect(await tracker.due(null, 10_000)).toEqual({ tenants: [], next: null });
  });

  it('takes a mass expiry in parts', async () => {
    const { upkeep, put, pass, tracker } = setUp();
    for (let i = 0; i < 4_100; i += 1) await put('acme', `k-${i}`, 1, 100);
    pass(100);
    expect(await upkeep.sweep()).toMatchObject({ expiredEntries: 4_000, more: true });
    expect(await upkeep.sweep()).toMatchObject({ expiredEntries: 100, more: false });
    expect(await tracker.read('acme')).toMatchObject({ committedBytes: 0 });
  });

  it('writes the usage of all rows, or of some tenants', async () => {
    const { upkeep, put, store } = setUp();
    for (let i = 0; i < 501; i += 1) await store.change(`t-${i}`, {}, { actor: 'test' });
    await put('t-7', 'a', 5);
    await put('t-500', 'a', 6);
    await put('stranger', 'a', 7);
    expect(await upkeep.syncTenants(['t-7', 'stranger'])).toBe(1);
    expect(await upkeep.syncUsage()).toBe(1);
    expect(await upkeep.syncUsage()).toBe(0);
    expect((await store.load('t-500')).row?.currentUsageBytes).toBe(6);
    expect(await upkeep.syncTenants(['t-7'], -1)).toBe(0);
  });

  it('keeps the trouble of one tenant with it, counted', async () => {
    const { upkeep, put, store, tracker, pass, events } = setUp();
    for (const tenant of ['bad', 'good']) {
      await store.change(tenant, {}, { actor: 'test' });
      await put(tenant, 'a', 5);
      await put(tenant, 'b', 1, 100);
    }
    pass(100);
    for (const name of ['read', 'sweep', 'recount'] as const) {
      const real = tracker[name].bind(tracker) as (tenant: string, max: number) => Promise<never>;
      jest.spyOn(tracker, name).mockImplementation((tenant: string, max?: number) => {
        if (tenant === 'bad') throw new QuotaUnavailableError(name);
        return real(tenant, max ?? 0);
      });
    }
    expect(await upkeep.sweep()).toMatchObject({ expiredEntries: 1 });
    expect(await upkeep.syncUsage()).toBe(1);
    await upkeep.reconcileAll();
    const error = 'QuotaUnavailableError';
    expect(events.filter(([name]) => name === 'error').map(([, event]) => event)).toEqual([
      { operation: 'sweep', error, tenant: 'bad' },
      { operation: 'usage_sync', error, tenant: 'bad' },
      { operation: 'reconcile', error, tenant: 'bad' },
    ]);
    expect(events.at(-1)).toMatchObject(['reconciled', { tenant: 'good', routine: true }]);
  });

  it('goes round by itself until it is stopped, and outlives failures', async () => {
    const { upkeep, put, store, tracker, pass, events } = setUp({
      sweepMs: 2,
      usageSyncMs: 2,
      reconcileMs: 2,
    });
    await store.change('acme', {}, { actor: 'test' });
    await put('acme', 'a', 5);
    jest.spyOn(tracker, 'due').mockRejectedValueOnce(new QuotaUnavailableError('tenants'));
    upkeep.start();
    await until(async () => {
      // Any of the rounds reaps it.
      await put('acme', 'b', 1, 1);
      pass(1);
      return events.some(([name]) => name === 'swept');
    });
    await until(() => events.some(([name]) => name === 'reconciled'));
    await until(async () => (await store.load('acme')).row?.currentUsageBytes === 5);
    expect(events).toContainEqual([
      'error',
      { operation: 'sweep', error: 'QuotaUnavailableError' },
    ]);
    await upkeep.stop();
    const due = jest.spyOn(tracker, 'due').mockClear();
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(due).not.toHaveBeenCalled();
  });

  it('has one of many instances do what one can do for all', async () => {
    const lease = new LocalLease();
    const take = jest.spyOn(lease, 'take');
    const hour = { reconcileMs: 40, usageSyncMs: 40 };
    const all = [setUp(hour, lease), setUp(hour, lease), setUp(hour, lease)];
    for (const { put, upkeep } of all) {
      await put('acme', 'a', 5);
      upkeep.start();
    }
    await until(() => take.mock.calls.filter(([name]) => name === 'reconcile').length >= 3);
    await Promise.all(all.map(({ upkeep }) => upkeep.stop()));
    const reconciled = all
      .flatMap(({ events }) => events)
      .filter(([name]) => name === 'reconciled');
    expect(reconciled.length).toBeLessThanOrEqual(2);
    expect(reconciled.length).toBeGreaterThan(0);
  });
});

describe('Rounds', () => {
  it('waits at its stop for the round under way, and begins no other', async () => {
    let finish = (): void => undefined;
    let begun = 0;
    const rounds = new Rounds(
      1,
      () => {
        begun += 1;
        return new Promise((resolve) => (finish = () => resolve('more')));
      },
      () => undefined,
    );
    rounds.start();
    await until(() => begun === 1);
    let stopped = false;
    const stopping = rounds.stop().then(() => (stopped = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(stopped).toBe(false);
    finish();
    await stopping;
    expect(begun).toBe(1);
  });
});
