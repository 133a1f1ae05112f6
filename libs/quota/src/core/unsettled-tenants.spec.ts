import { randomUUID } from 'node:crypto';
import { MemoryUsageTracker } from '../adapters/memory/memory-usage-tracker';
import { QuotaUnavailableError } from './errors';
import { LocalLease } from './lease';
import { QuotaObserver } from './observer';
import { Reconciler } from './reconciler';
import { UnsettledTenants } from './unsettled-tenants';
import { UsageSource, type SourceEntry } from './usage-tracker';

const LIMITS = { quotaBytes: 1e9, hardBytes: 1e9 };

/** A storage that says the same of every tenant. */
class Storage extends UsageSource {
  entries: SourceEntry[] = [];
  reads = 0;
  failing = false;

  async page(): Promise<{ entries: SourceEntry[]; next: null }> {
    this.reads += 1;
    if (this.failing) throw new QuotaUnavailableError('entry_page');
    return { entries: this.entries, next: null };
  }

  async lookup(_tenant: string, keys: readonly string[]): Promise<SourceEntry[]> {
    return this.entries.filter(({ key }) => keys.includes(key));
  }
}

function setUp({ storage = new Storage() }: { storage?: Storage | null } = {}) {
  let now = 1_000;
  const clock = (): number => now;
  const tracker = new MemoryUsageTracker(clock);
  const lease = new LocalLease(clock);
  const observer = new QuotaObserver();
  const reconciled: string[] = [];
  observer.on('reconciled', ({ tenant, routine }) => reconciled.push(`${tenant} ${routine}`));
  const errors: string[] = [];
  const reconciler = new Reconciler(tracker, storage, observer, { lease });
  const unsettled = new UnsettledTenants(
    tracker,
    reconciler,
    (_error, tenant) => errors.push(tenant),
    clock,
  );
  const pass = (ms: number): void => void (now += ms);
  /** A life of the tenant comes to its end. */
  const drop = async (tenant: string): Promise<void> => {
    const write = { tenant, id: randomUUID(), key: 'a', bytes: 1, limits: LIMITS, stamp: 0 };
    await tracker.reserve({ ...write, enforce: true, holdMs: 1_000 });
    await tracker.drop(tenant);
  };
  const sweep = async (tenant: string): Promise<number> => {
    const { unsettled: count } = await tracker.sweep(tenant, 100);
    if (count > 0) await unsettled.found(tenant, count);
    return count;
  };
  const parts = { tracker, storage, lease, unsettled, reconciled, errors };
  return { ...parts, pass, drop, sweep };
}

describe('UnsettledTenants', () => {
  it('reconciles a tenant with its storage, and settles what the sweep had counted', async () => {
    const { storage, tracker, unsettled, reconciled, drop } = setUp();
    storage!.entries = [{ key: 'orphan', bytes: 7 }];
    await drop('acme');
    await drop('acme');
    const { unsettled: count } = await tracker.sweep('acme', 100);
    await drop('acme'); // after the sweep: not what was looked at
    await unsettled.found('acme', count);
    await unsettled.idle();
    expect(reconciled).toEqual(['acme true']);
    expect(await tracker.read('acme')).toMatchObject({ committedBytes: 7 });
    expect((await tracker.sweep('acme', 10)).unsettled).toBe(1);
  });

  it('only settles where there is no storage to ask', async () => {
    const { tracker, reconciled, drop, sweep } = setUp({ storage: null });
    await drop('acme');
    expect(await sweep('acme')).toBe(1);
    expect((await tracker.sweep('acme', 10)).unsettled).toBe(0);
    expect(reconciled).toEqual([]);
  });

  it('keeps the count where the reconciliation fails or another instance is at it', async () => {
    const { storage, lease, unsettled, errors, reconciled, pass, drop, sweep } = setUp();
    await drop('acme');
    storage!.failing = true;
    await sweep('acme');
    await unsettled.idle();
    expect(errors).toEqual(['acme']);
    storage!.failing = false;
    const held = await lease.take('reconcile:acme', 8_000);
    pass(5_000);
    expect(await sweep('acme')).toBe(1);
    await unsettled.idle();
    expect(reconciled).toEqual([]);
    await held!.release();
    pass(5_000);
    expect(await sweep('acme')).toBe(1);
    await unsettled.idle();
    expect(reconciled).toEqual(['acme true']);
    expect(await sweep('acme')).toBe(0);
  });

  it('pauses between two of one tenant, longer while it goes on, and not after it ended', async () => {
    const { unsettled, reconciled, pass, drop, sweep } = setUp();
    const began: number[] = [];
    for (let second = 0; second < 400; second += 1) {
      await drop('noisy');
      await sweep('noisy');
      await unsettled.idle();
      if (reconciled.length > began.length) began.push(second);
      pass(1_000);
    }
    const pauses = began.slice(1).map((at, i) => at - began[i]!);
    expect(pauses.slice(0, 7)).toEqual([5, 10, 20, 40, 60, 60, 60]);
    pass(130_000);
    for (const pause of [0, 5_000]) {
      pass(pause);
      const before = reconciled.length;
      await drop('noisy');
      await sweep('noisy');
      await unsettled.idle();
      expect(reconciled.length).toBe(before + 1);
    }
  });

  it('has two tenants under way at most, each once, and waits for those at its stop', async () => {
    const { storage, unsettled, reconciled, drop, sweep } = setUp();
    const gates: (() => void)[] = [];
    jest.spyOn(storage!, 'page').mockImplementation(async () => {
      await new Promise<void>((resolve) => gates.push(resolve));
      return { entries: [], next: null };
    });
    for (const tenant of ['a', 'b', 'c', 'd']) await drop(tenant);
    for (let round = 0; round < 3; round += 1) {
      for (const tenant of ['a', 'b', 'c', 'd']) await sweep(tenant);
    }
    await new Promise((resolve) => setImmediate(resolve));
    expect(gates).toHaveLength(2);
    gates[0]!();
    while (gates.length < 3) await new Promise((resolve) => setImmediate(resolve));
    let stopped = false;
    const stopping = unsettled.stop().then(() => (stopped = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(stopped).toBe(false);
    for (const open of gates) open();
    await stopping;
    expect(reconciled.toSorted()).toEqual(['a true', 'b true', 'c true']);
    await sweep('d');
    expect(gates).toHaveLength(3);
  });
});
