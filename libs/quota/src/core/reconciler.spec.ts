import { randomUUID } from 'node:crypto';
import { MemoryUsageTracker } from '../adapters/memory/memory-usage-tracker';
import { LocalLease } from './lease';
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
      causes: { missingBytes: 0, extraBytes: 0, wrongSizeBytes: 0, recountBytes: 0 },
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
      causes: { missingBytes: -7, extraBytes: 100, wrongSizeBytes: -5, recountBytes: 0 },
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

  it('tells of a rebuild which of the keys it looked at a write was on its way to', async () => {
    const { storage, reserve, write, reconciler } = setUp();
    for (const key of ['a', 'b']) storage.put(key, 10);
    await reserve('b', 10);
    await reserve('not stored', 10);
    await write('c', 10);
    await reserve('c', 5);
    expect((await reconciler.rebuild('acme')).sort()).toEqual(['b', 'c']);
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

  describe('a drop of more than half and more than 10 MB', () => {
    const MB = 1_048_576;

    async function withTwenty() {
      const set = setUp();
      for (let i = 0; i < 20; i += 1) await set.write(`key-${i}`, MB);
      const errors: string[] = [];
      set.observer.on('error', ({ operation, error }) => errors.push(`${operation} ${error}`));
      const options = { secondReadingMs: 1 };
      return {
        ...set,
        errors,
        patient: new Reconciler(set.tracker, set.storage, set.observer, options),
      };
    }

    it('is applied when a second reading says the same', async () => {
      const { patient, tracker, errors } = await withTwenty();
      const report = await patient.reconcile('acme');
      expect(report).toMatchObject({ driftBytes: 20 * MB, causes: { extraBytes: 20 * MB } });
      expect((await tracker.read('acme')).committedBytes).toBe(0);
      expect(errors).toEqual([]);
    });

    it('is forgotten when the storage has it all at the second reading', async () => {
      const { patient, tracker, storage, errors } = await withTwenty();
      storage.meanwhile = async () => {
        // What the first look-up sees is empty; from the next one on all is there.
        await Promise.resolve();
        queueMicrotask(() => {
          for (let i = 0; i < 20; i += 1) storage.put(`key-${i}`, MB);
        });
      };
      storage.entries.clear();
      expect(await patient.reconcile('acme')).toMatchObject({ driftBytes: 0, usedBytes: 20 * MB });
      expect((await tracker.read('acme')).committedBytes).toBe(20 * MB);
      expect(errors).toEqual([]);
    });

    it('is not applied when it shows only after the reading that was to be applied', async () => {
      const { patient, tracker, storage, errors } = await withTwenty();
      for (let i = 1; i < 20; i += 1) storage.put(`key-${i}`, MB);
      let looks = 0;
      const lookup = storage.lookup.bind(storage);
      storage.lookup = async (tenant, keys) => {
        looks += 1;
        // The third: missing entries, survey, mending.
        return looks === 2 + 1 ? [] : lookup(tenant, keys);
      };
      storage.page = async () => ({ entries: [], next: null });
      looks = 1;
      expect(await patient.reconcile('acme')).toMatchObject({ driftBytes: 0 });
      expect((await tracker.read('acme')).committedBytes).toBe(20 * MB);
      expect(errors).toEqual(['reconcile implausible_drop']);
    });
  });

  describe('two at once', () => {
    it('take turns at a tenant', async () => {
      const { tracker, storage, observer, write } = setUp();
      const lease = new LocalLease();
      const [a, b] = [1, 2].map(() => new Reconciler(tracker, storage, observer, { lease }));
      await write('gone', 5);
      let inside = 0;
      const lookup = storage.lookup.bind(storage);
      storage.lookup = async (tenant, keys) => {
        inside += 1;
        expect(inside).toBe(1);
        expect(await b!.reconcileIfFree('acme')).toBeNull();
        const found = await lookup(tenant, keys);
        inside -= 1;
        return found;
      };
      const reports = await Promise.all([a!.reconcile('acme'), b!.reconcile('acme')]);
      expect(reports.map(({ driftBytes }) => driftBytes)).toEqual([5, 0]);
    });

    it('stop where another one has taken over', async () => {
      const { tracker, storage, observer, write } = setUp();
      await write('gone', 5);
      const lost = { take: async () => ({ keep: async () => false, release: async () => {} }) };
      const reconciler = new Reconciler(tracker, storage, observer, { lease: lost });
      await expect(reconciler.reconcile('acme')).rejects.toMatchObject({ operation: 'reconcile' });
      expect((await tracker.read('acme')).committedBytes).toBe(5);
    });
  });

  it('leaves a ledger that can be gone on with, wherever it is killed', async () => {
    for (let step = 1; step <= 12; step += 1) {
      const { tracker, storage, observer, write } = setUp();
      await write('gone', 100);
      await write('differs', 10);
      storage.put('differs', 15);
      storage.put('orphan', 7);
      let left = step;
      const dying = new Proxy(tracker, {
        get(target, name: keyof MemoryUsageTracker) {
          const member = target[name] as unknown;
          if (typeof member !== 'function') return member;
          return async (...args: unknown[]) => {
            left -= 1;
            if (left === 0) throw new Error('killed');
            return (member as (...all: unknown[]) => unknown).apply(target, args);
          };
        },
      });
      const killed = new Reconciler(dying, storage, observer);
      await killed.reconcile('acme').catch(() => undefined);
      await new Reconciler(tracker, storage, observer).reconcile('acme');
      expect(await tracker.read('acme')).toMatchObject({ committedBytes: 22, reservedBytes: 0 });
    }
  });
});
