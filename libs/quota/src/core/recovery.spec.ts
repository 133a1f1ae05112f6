import { randomUUID } from 'node:crypto';
import { MemoryQuotaStore } from '../adapters/memory/memory-quota-store';
import { MemoryUsageTracker } from '../adapters/memory/memory-usage-tracker';
import { LocalLease } from './lease';
import { QuotaObserver } from './observer';
import { Reconciler } from './reconciler';
import { Recovery } from './recovery';
import { UsageSource, type SourceEntry } from './usage-tracker';

const LIMITS = { quotaBytes: 1e9, hardBytes: 1e9 };

/** A storage with one entry of each tenant it knows. */
class OneEach extends UsageSource {
  /** Readings still to fail, by tenant. */
  readonly failing = new Map<string, number>();
  hold: Promise<void> = Promise.resolve();

  constructor(readonly sizes: Map<string, number>) {
    super();
  }

  async page(tenant: string): Promise<{ entries: SourceEntry[]; next: null }> {
    await this.hold;
    const left = this.failing.get(tenant) ?? 0;
    this.failing.set(tenant, left - 1);
    if (left > 0) throw new Error('The storage is away');
    return { entries: await this.lookup(tenant), next: null };
  }

  async lookup(tenant: string): Promise<SourceEntry[]> {
    const bytes = this.sizes.get(tenant);
    return bytes === undefined ? [] : [{ key: 'k', bytes }];
  }
}

function setUp() {
  let now = 0;
  const clock = (): number => now + performance.now();
  const source = new OneEach(new Map());
  const [tracker, store, lease] = [
    new MemoryUsageTracker(),
    new MemoryQuotaStore(),
    new LocalLease(clock),
  ];
  const reconciled: string[] = [];
  const errors: string[] = [];
  const instance = (): Recovery => {
    const observer = new QuotaObserver();
    observer.on('reconciled', ({ tenant }) => reconciled.push(tenant));
    observer.on('error', ({ operation, tenant }) => errors.push(`${operation} ${tenant ?? ''}`));
    const reconciler = new Reconciler(tracker, source, observer, { lease });
    return new Recovery({ tracker, store, reconciler, lease, observer });
  };
  const put = async (tenant: string, bytes: number): Promise<void> => {
    const request = { tenant, id: randomUUID(), key: 'k', bytes, limits: LIMITS, enforce: true };
    const reply = await tracker.reserve({ ...request, stamp: 0, holdMs: 60_000 });
    if (reply.outcome !== 'reserved') throw new Error(reply.outcome);
    await tracker.commit({ ...request, generation: reply.generation });
  };
  const used = async (tenant: string): Promise<number> =>
    (await tracker.read(tenant)).committedBytes;
  const pass = (ms: number): void => void (now += ms);
  return { source, store, lease, reconciled, errors, instance, put, used, pass };
}

it('reconciles every tenant once, however many instances are told', async () => {
  const { instance, put, source, used, reconciled } = setUp();
  for (let n = 0; n < 20; n += 1) {
    await put(`t${n}`, 5);
    source.sizes.set(`t${n}`, 7);
  }
  const done = await Promise.all([1, 2, 3].map(() => instance().recover('server')));
  expect(done.filter(Boolean)).toHaveLength(1);
  expect(reconciled).toHaveLength(20);
  for (let n = 0; n < 20; n += 1) expect(await used(`t${n}`)).toBe(7);
  // Told again of the same one, it is not done again; of the next one, it is.
  expect(await instance().recover('server')).toBe(false);
  expect(reconciled).toHaveLength(20);
  expect(await instance().recover('next')).toBe(true);
  expect(reconciled).toHaveLength(40);
});

it('finds tenants of which the ledger knows nothing any more by their quotas', async () => {
  const { instance, source, store, used } = setUp();
  await store.change('lost', { quotaMb: 1 }, { actor: 'test' });
  source.sizes.set('lost', 9);
  expect(await instance().recover('server')).toBe(true);
  expect(await used('lost')).toBe(9);
});

it('tries those that failed again, and leaves the others alone', async () => {
  const { instance, put, source, used, reconciled, errors } = setUp();
  for (const tenant of ['a', 'b', 'c']) {
    await put(tenant, 5);
    source.sizes.set(tenant, 7);
  }
  source.failing.set('b', 2);
  expect(await instance().recover('server')).toBe(true);
  expect(reconciled.toSorted()).toEqual(['a', 'b', 'c']);
  expect(errors).toEqual(['recover b', 'recover b']);
  expect(await used('b')).toBe(7);
});

it('takes over from a holder that was killed', async () => {
  const { instance, lease, put, source, reconciled, pass } = setUp();
  await put('a', 5);
  source.sizes.set('a', 7);
  await lease.take('recover:server', 10_000);
  const waiting = instance().recover('server');
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(reconciled).toEqual([]);
  pass(10_000);
  expect(await waiting).toBe(true);
  expect(reconciled).toEqual(['a']);
});

it('stops, and leaves the rest to another instance', async () => {
  const { instance, put, source, reconciled } = setUp();
  for (let n = 0; n < 20; n += 1) await put(`t${n}`, 5);
  let open: () => void = () => undefined;
  source.hold = new Promise((resolve) => (open = resolve));
  const [one, other] = [instance(), instance()];
  const working = one.recover('server');
  const waiting = other.recover('server');
  await new Promise((resolve) => setTimeout(resolve, 20));
  const stopped = one.stop();
  open();
  await stopped;
  expect(await working).toBe(false);
  expect(reconciled.length).toBeLessThan(20);
  expect(await waiting).toBe(true);
  expect(new Set(reconciled).size).toBe(20);
  await other.stop();
});
