import { MemoryQuotaStore } from '../adapters/memory/memory-quota-store';
import { MemoryUsageTracker } from '../adapters/memory/memory-usage-tracker';
import { Breaker } from './breaker';
import { inTime } from './budget';
import { QuotaUnavailableError } from './errors';
import { GuardedQuotaCache, GuardedQuotaStore } from './guarded-source';
import { BreakerUsageTracker, BreakerValueTracker, guardTracker } from './guarded-tracker';
import { QuotaObserver, type QuotaEvents } from './observer';
import type { TenantQuota } from './quota';
import { SharedQuotaCache } from './quota-source';
import { StoreBreakers } from './store-breakers';
import { ValueTracker, type UsageTracker } from './usage-tracker';

const lost = (): Promise<never> =>
  Promise.reject(new QuotaUnavailableError('x', { contact: 'lost', cause: new Error('gone') }));

const limits = { quotaBytes: 100, hardBytes: 100 };
const write = { tenant: 'acme', key: 'k', bytes: 10, limits, stamp: 0, enforce: true };

const newBreaker = (): Breaker => new Breaker({ store: 'redis', probe: lost });

async function opened(): Promise<Breaker> {
  const breaker = newBreaker();
  await breaker.run('x', lost).catch(() => undefined);
  return breaker;
}

/** Everything a tracker can be asked, on one tenant. */
function calls(tracker: UsageTracker): Record<string, () => Promise<unknown>> {
  const { tenant } = write;
  return {
    reserve: () => tracker.reserve({ ...write, id: 'a', holdMs: 1_000 }),
    check: () => tracker.check(write),
    commit: () => tracker.commit({ ...write, id: 'a', generation: '' }),
    release: () => tracker.release(tenant, 'a'),
    remove: () => tracker.remove({ tenant, id: 'b', key: 'k' }),
    refund: () => tracker.refund({ tenant, id: 'c', bytes: 0 }),
    read: () => tracker.read(tenant),
    sweep: () => tracker.sweep(tenant, 10),
    recount: () => tracker.recount(tenant),
    entries: () => tracker.entries(tenant, null, 10),
    lookup: () => tracker.lookup(tenant, ['k']),
    correct: () => tracker.correct(tenant, []),
    drop: () => tracker.drop(tenant),
  };
}

describe('guardTracker', () => {
  const value = { body: Buffer.from('x'), meta: '' };

  it('leaves a tracker of values one, and another as it is', () => {
    const memory = new MemoryUsageTracker();
    const plain = new BreakerUsageTracker(memory, newBreaker());
    expect(guardTracker(memory, newBreaker())).toBeInstanceOf(BreakerValueTracker);
    expect(guardTracker(memory, newBreaker())).toBeInstanceOf(ValueTracker);
    expect(guardTracker(plain, newBreaker())).toBeInstanceOf(BreakerUsageTracker);
    expect(guardTracker(plain, newBreaker())).not.toBeInstanceOf(ValueTracker);
    expect(guardTracker(memory, newBreaker()).store).toBe('memory');
  });

  it('answers as the tracker behind it', async () => {
    const names = Object.keys(calls(new MemoryUsageTracker()));
    const [alone, behind] = [new MemoryUsageTracker(), new MemoryUsageTracker()];
    const guarded = new BreakerValueTracker(behind, newBreaker());
    const strip = (answer: unknown): unknown =>
      typeof answer === 'object' && answer !== null ? { ...answer, generation: '' } : answer;
    for (const name of names) {
      const expected: unknown = await calls(alone)[name]?.();
      expect(strip(await calls(guarded)[name]?.())).toEqual(strip(expected));
    }
    const put = { tenant: 'acme', id: 'd', key: 'v', value, stamp: 0 };
    await expect(guarded.putUnmetered(put)).resolves.toMatchObject({ outcome: 'stored' });
    await expect(guarded.getValue('acme', 'v')).resolves.toMatchObject({ value });
  });

  it('fails every operation at once while open, and asks nobody', async () => {
    const inner = new MemoryUsageTracker();
    const guarded = new BreakerValueTracker(inner, await opened());
    const put = { tenant: 'acme', id: 'd', key: 'v', value, stamp: 0 };
    const all = {
      ...calls(guarded),
      'value-get': () => guarded.getValue('acme', 'v'),
      'value-put-unmetered': () => guarded.putUnmetered(put),
    };
    const asked = Object.keys(calls(inner)).map((name) => jest.spyOn(inner, name as 'read'));
    for (const [operation, call] of Object.entries(all)) {
      await expect(call()).rejects.toMatchObject({ operation, applied: 'no' });
    }
    for (const spy of asked) expect(spy).not.toHaveBeenCalled();
  });
});

describe('GuardedQuotaStore', () => {
  const options = { actor: 'test' };

  it('answers as the store behind it, and fails at once while open', async () => {
    const store = new GuardedQuotaStore(new MemoryQuotaStore(), newBreaker());
    await expect(store.change('acme', { quotaMb: 5 }, options)).resolves.toMatchObject({
      created: true,
    });
    await expect(store.load('acme')).resolves.toMatchObject({ row: { quotaMb: 5 } });
    await expect(store.list({ limit: 5 })).resolves.toMatchObject({ next: null });
    await expect(store.delete('acme', options)).resolves.not.toBeNull();
    const away = new GuardedQuotaStore(new MemoryQuotaStore(), await opened());
    const refused = { name: 'QuotaUnavailableError', applied: 'no' };
    await expect(away.load('acme')).rejects.toMatchObject(refused);
    await expect(away.list({ limit: 5 })).rejects.toMatchObject(refused);
    await expect(away.change('acme', {}, options)).rejects.toMatchObject(refused);
    await expect(away.delete('acme', options)).rejects.toMatchObject(refused);
  });

  it('gives up on loads that hang, and opens', async () => {
    const inner = new MemoryQuotaStore();
    jest.spyOn(inner, 'load').mockReturnValue(new Promise(() => undefined));
    const breaker = newBreaker();
    const store = new GuardedQuotaStore(inner, breaker, 60);
    const loads = [1, 2, 3].map(() => store.load('acme').catch((error: unknown) => error));
    for (const error of await Promise.all(loads)) {
      expect(error).toMatchObject({ operation: 'config', applied: 'no', contact: 'silent' });
    }
    expect(breaker.state).toBe('open');
    breaker.stop();
  });
});

describe('StoreBreakers', () => {
  it('lets work of others behind the same breaker, and learns from it', async () => {
    const breakers = new StoreBreakers(new QuotaObserver());
    breakers.add('postgres', { probe: lost });
    await expect(breakers.run('postgres', 'x', async () => 1)).resolves.toBe(1);
    await expect(breakers.run('postgres', 'x', lost)).rejects.toMatchObject({ operation: 'x' });
    const work = jest.fn(async () => 1);
    await expect(breakers.run('postgres', 'y', work)).rejects.toMatchObject({
      ...{ operation: 'y', applied: 'no', contact: 'lost' },
    });
    expect(work).not.toHaveBeenCalled();
    expect(breakers.states()).toEqual({ postgres: 'open' });
    await expect(breakers.run('redis', 'z', work)).resolves.toBe(1);
    breakers.stop();
  });
});

describe('inTime', () => {
  it('does not count a stall of this process', async () => {
    const late = new Promise((resolve) => setTimeout(resolve, 410, 'late'));
    const answer = inTime('config', 200, late);
    const until = performance.now() + 400;
    while (performance.now() < until);
    await expect(answer).resolves.toBe('late');
  });

  it('gives the work’s own error on', async () => {
    await expect(inTime('config', 200, Promise.reject(new Error('own')))).rejects.toThrow('own');
  });
});

class FakeCache extends SharedQuotaCache {
  readonly get = jest.fn(() => Promise.resolve(null));
  readonly put = jest.fn(() => Promise.resolve());
  readonly announce = jest.fn(() => Promise.resolve());
  readonly subscribe = jest.fn(() => Promise.resolve(() => Promise.resolve()));
}

it('GuardedQuotaCache is skipped while open, but for its subscription', async () => {
  const quota = { tenant: 'acme' } as TenantQuota;
  const inner = new FakeCache();
  const here = new GuardedQuotaCache(inner, newBreaker());
  await expect(here.get('acme')).resolves.toBeNull();
  await here.put(quota, 1);
  await here.announce(quota, 1);
  const away = new GuardedQuotaCache(inner, await opened());
  await expect(away.get('acme')).rejects.toThrow(QuotaUnavailableError);
  await expect(away.put(quota, 1)).rejects.toThrow(QuotaUnavailableError);
  await expect(away.announce(quota, 1)).rejects.toThrow(QuotaUnavailableError);
  await away.subscribe(() => undefined);
  const times = [inner.get, inner.put, inner.announce, inner.subscribe].map(
    (mock) => mock.mock.calls.length,
  );
  expect(times).toEqual([1, 1, 1, 1]);
});

it('StoreBreakers tells of every change, with the cause, and of the states', async () => {
  const observer = new QuotaObserver();
  const events: QuotaEvents['store'][] = [];
  observer.on('store', (event) => events.push(event));
  const breakers = new StoreBreakers(observer);
  expect(breakers.states()).toEqual({});
  let up = false;
  const probe = (): Promise<unknown> => (up ? Promise.resolve() : lost());
  const breaker = breakers.add('redis', { probe, firstPauseMs: 1 });
  breakers.add('postgres', { probe: lost });
  await breaker.run('x', lost).catch(() => undefined);
  expect(breakers.states()).toEqual({ redis: 'open', postgres: 'closed' });
  up = true;
  while (breaker.state !== 'closed') await new Promise((resolve) => setTimeout(resolve, 5));
  expect(events[0]).toEqual({ store: 'redis', state: 'open', cause: 'gone' });
  expect(events[1]).toEqual({ store: 'redis', state: 'half-open', cause: 'gone' });
  expect(events.at(-1)).toEqual({ store: 'redis', state: 'closed' });
  breakers.stop();
});
