import { randomUUID } from 'node:crypto';
import { MemoryUsageTracker } from '../adapters/memory/memory-usage-tracker';
import { QuotaObserver } from './observer';
import { Reconciler } from './reconciler';
import { UsageSource, type SourceEntry } from './usage-tracker';

const LIMITS = { quotaBytes: 1e9, hardBytes: 1e9 };

/** Storage outside the ledger: what an application keeps in a table or in files. */
class Storage extends UsageSource {
  readonly entries = new Map<string, SourceEntry>();
  /** Runs once before the next look-up: something that happens in the middle of a reconciliation. */
  meanwhile: (() => Promise<void>) | undefined;

  put(key: string, bytes: number, more: Partial<SourceEntry> = {}): void {
    this.entries.set(key, { key, bytes, ...more });
  }

  async page(_tenant: string, cursor: string | null, limit: number) {
    const keys = [...this.entries.keys()].sort().filter((key) => cursor === null || key > cursor);
    const entries = keys.slice(0, limit).flatMap((key) => this.entries.get(key) ?? []);
    return { entries, next: keys.length > limit ? (keys[limit - 1] ?? null) : null };
  }

  async lookup(_tenant: string, keys: readonly string[]): Promise<SourceEntry[]> {
    const run = this.meanwhile;
    this.meanwhile = undefined;
    await run?.();
    return keys.flatMap((key) => this.entries.get(key) ?? []);
  }
}

function setUp() {
  const tracker = new MemoryUsageTracker();
  const storage = new Storage();
  const observer = new QuotaObserver();
  const reports: number[] = [];
  observer.on('reconciled', ({ driftBytes }) => reports.push(driftBytes));
  const reserve = async (key: string, bytes: number) => {
    const id = randomUUID();
    const base = { tenant: 'acme', id, key, bytes, limits: LIMITS, enforce: true };
    const reply = await tracker.reserve({ ...base, stamp: 0, holdMs: 60_000 });
    if (reply.outcome !== 'reserved') throw new Error(reply.outcome);
    return { ...base, generation: reply.generation };
  };
  const write = async (
    key: string,
    bytes: number,
    more: { ttlMs?: number; version?: number } = {},
  ) => tracker.commit({ ...(await reserve(key, bytes)), ...more });
  return {
    tracker,
    storage,
    reports,
    reserve,
    write,
    reconciler: new Reconciler(tracker, storage, observer),
    observer,
  };
}

describe('Reconciler', () => {
  it('finds nothing where ledger and storage agree', async () => {
    const { reconciler, storage, write, reports } = setUp();
    await write('a', 10);
    storage.put('a', 10);
    expect(await reconciler.reconcile('acme')).toEqual({
      tenant: 'acme',
      driftBytes: 0,
      corrected: 0,
      usedBytes: 10,
    });
    expect(reports).toEqual([0]);
  });

  it('adopts what was stored and never committed, drops what is gone, mends what differs', async () => {
    const { reconciler, storage, write } = setUp();
    await write('gone', 100);
    await write('differs', 10);
    storage.put('differs', 15);
    storage.put('orphan', 7, { expiresAt: Date.now() + 60_000, version: 3 });
    expect(await reconciler.reconcile('acme')).toEqual({
      tenant: 'acme',
      driftBytes: 88,
      corrected: 3,
      usedBytes: 22,
    });
    expect(await reconciler.reconcile('acme')).toMatchObject({ driftBytes: 0, corrected: 0 });
  });

  it('walks any number of pages', async () => {
    const { reconciler, storage, write } = setUp();
    for (let i = 0; i < 1_203; i += 1) storage.put(`key-${i}`, 1);
    for (let i = 0; i < 701; i += 1) await write(`old-${i}`, 2);
    expect(await reconciler.reconcile('acme')).toMatchObject({
      corrected: 1_904,
      usedBytes: 1_203,
    });
  });

  it('leaves a key to the write that is on its way to it', async () => {
    const { reconciler, storage, reserve, tracker } = setUp();
    const write = await reserve('a', 50);
    storage.put('a', 50);
    expect(await reconciler.reconcile('acme')).toMatchObject({ corrected: 0, usedBytes: 50 });
    await tracker.commit(write);
    expect(await tracker.read('acme')).toMatchObject({ committedBytes: 50, reservedBytes: 0 });
  });

  it('leaves a key alone that changed while it was looked at', async () => {
    const { reconciler, storage, write, tracker } = setUp();
    await write('a', 10, { version: 1 });
    storage.put('a', 12, { version: 2 });
    storage.meanwhile = async () => {
      await write('a', 30, { version: 3 });
    };
    await reconciler.reconcile('acme');
    expect((await tracker.read('acme')).committedBytes).toBe(30);
  });

  it('minds an expiry that one side lacks or that is far off, not the clocks', async () => {
    const { reconciler, storage, write, tracker } = setUp();
    const soon = Date.now() + 600_000;
    await write('same', 1, { ttlMs: 600_000 });
    storage.put('same', 1, { expiresAt: soon + 2_000 });
    await write('lacks', 1);
    storage.put('lacks', 1, { expiresAt: soon });
    await write('extra', 1, { ttlMs: 600_000 });
    storage.put('extra', 1);
    await write('far', 1, { ttlMs: 100 });
    storage.put('far', 1, { expiresAt: soon });
    expect(await reconciler.reconcile('acme')).toMatchObject({ corrected: 3, usedBytes: 4 });
    const [far, extra] = await tracker.lookup('acme', ['far', 'extra']);
    expect(far?.entry?.expiresAt).toBe(soon);
    expect(extra?.entry).not.toHaveProperty('expiresAt', expect.any(Number));
  });

  it('recounts without a source', async () => {
    const { tracker, observer, write } = setUp();
    await write('a', 10);
    const reconciler = new Reconciler(tracker, null, observer);
    expect(await reconciler.reconcile('acme')).toMatchObject({ driftBytes: 0, usedBytes: 10 });
  });
});
