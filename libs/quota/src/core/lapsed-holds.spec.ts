import { randomUUID } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { MemoryUsageTracker } from '../adapters/memory/memory-usage-tracker';
import { QuotaUnavailableError } from './errors';
import { LapsedHolds } from './lapsed-holds';
import { QuotaObserver } from './observer';
import { Reconciler } from './reconciler';
import { UsageSource, usedBytes, type SourceEntry } from './usage-tracker';

const LIMITS = { quotaBytes: 1e9, hardBytes: 1e9 };

/** A storage that says the same of every tenant. */
class Storage extends UsageSource {
  entries: SourceEntry[] = [];
  failing = false;
  /** What happens while it is asked. */
  meanwhile: () => Promise<void> = async () => undefined;
  readonly asked: number[] = [];

  async page(): Promise<never> {
    throw new Error('Nobody is to walk through all of it.');
  }

  async lookup(_tenant: string, keys: readonly string[]): Promise<SourceEntry[]> {
    this.asked.push(keys.length);
    if (this.failing) throw new QuotaUnavailableError('entry_lookup');
    await this.meanwhile();
    return this.entries.filter(({ key }) => keys.includes(key));
  }
}

function setUp({ storage = new Storage() }: { storage?: Storage | null } = {}) {
  let now = 1_000;
  const tracker = new MemoryUsageTracker(() => now);
  const observer = new QuotaObserver();
  const errors: string[] = [];
  const told: string[] = [];
  observer.on('error', ({ operation, tenant }) => errors.push(`${operation} ${tenant}`));
  observer.on('lapsed', ({ tenant, found, letGo }) => told.push(`${tenant} ${letGo}/${found}`));
  const reconciler = new Reconciler(tracker, storage, observer);
  const holds = new LapsedHolds(tracker, reconciler, observer);
  const reserve = async (tenant: string, key: string, bytes: number, holdMs: number) => {
    const write = { tenant, id: randomUUID(), key, bytes, limits: LIMITS, enforce: true };
    const reply = await tracker.reserve({ ...write, stamp: 0, holdMs, keep: true });
    if (reply.outcome !== 'reserved') throw new Error(reply.outcome);
    return { ...write, generation: reply.generation };
  };
  const lapse = async (tenant: string, key: string, bytes: number) => {
    const write = await reserve(tenant, key, bytes, 1);
    now += 1;
    return write;
  };
  const sweep = async (tenant: string): Promise<boolean> => {
    const { lapsed } = await tracker.sweep(tenant, 1_000);
    if (lapsed) holds.found(tenant);
    return lapsed;
  };
  const used = async (tenant: string): Promise<[number, number]> => {
    const { committedBytes, reservedBytes } = await tracker.read(tenant);
    return [committedBytes, reservedBytes];
  };
  return { tracker, storage: storage!, holds, errors, told, reserve, lapse, sweep, used };
}

describe('LapsedHolds', () => {
  it('counts what was stored, and lets the rest go', async () => {
    const { storage, holds, told, lapse, sweep, used } = setUp();
    await lapse('acme', 'stored', 40);
    await lapse('acme', 'smaller', 50);
    await lapse('acme', 'never', 60);
    storage.entries = [
      { key: 'stored', bytes: 40 },
      { key: 'smaller', bytes: 7 },
      { key: 'of others', bytes: 1_000 },
    ];
    expect(await sweep('acme')).toBe(true);
    await holds.idle();
    expect(await used('acme')).toEqual([47, 0]);
    expect(told).toEqual(['acme 3/3']);
    expect(await sweep('acme')).toBe(false);
    await holds.idle();
    expect(told).toHaveLength(1);
  });

  it('at no moment has less counted than is stored', async () => {
    const { tracker, storage, holds, lapse, sweep } = setUp();
    await lapse('acme', 'a', 40);
    storage.entries = [{ key: 'a', bytes: 40 }];
    const seen: number[] = [];
    const note = async (): Promise<void> => void seen.push(usedBytes(await tracker.read('acme')));
    storage.meanwhile = note;
    for (const name of ['correct', 'letGo'] as const) {
      const inner = tracker[name].bind(tracker) as (...args: unknown[]) => Promise<unknown>;
      jest.spyOn(tracker, name).mockImplementation(async (...args: unknown[]) => {
        await note();
        const reply = await inner(...args);
        await note();
        return reply as never;
      });
    }
    await sweep('acme');
    await holds.idle();
    expect(seen.length).toBeGreaterThanOrEqual(5);
    expect(new Set(seen)).toEqual(new Set([40]));
  });

  it('takes out what a removal had deleted before it died', async () => {
    const { tracker, holds, reserve, lapse, sweep, used } = setUp();
    await tracker.commit(await reserve('acme', 'a', 30, 1_000));
    await lapse('acme', 'a', 0);
    await sweep('acme');
    await holds.idle();
    expect(await used('acme')).toEqual([0, 0]);
    expect(await sweep('acme')).toBe(false);
  });

  it('leaves a key that another write is on its way to, until that is over', async () => {
    const { tracker, storage, holds, reserve, lapse, sweep, used } = setUp();
    await lapse('acme', 'a', 40);
    await lapse('acme', 'b', 50);
    const open = await reserve('acme', 'a', 10, 60_000);
    await sweep('acme');
    await holds.idle();
    expect(await used('acme')).toEqual([0, 40]);
    storage.entries = [{ key: 'a', bytes: 10 }];
    await tracker.commit(open);
    expect(await sweep('acme')).toBe(true);
    await holds.idle();
    expect(await used('acme')).toEqual([10, 0]);
  });

  it('keeps one whose key is written while the storage is asked', async () => {
    const { tracker, storage, holds, reserve, lapse, sweep, used } = setUp();
    await lapse('acme', 'a', 40);
    storage.entries = [{ key: 'a', bytes: 40 }];
    storage.meanwhile = async () => {
      await reserve('acme', 'a', 20, 60_000);
    };
    await sweep('acme');
    await holds.idle();
    expect(await used('acme')).toEqual([0, 40]);
    expect((await tracker.lapsed('acme', null, 10)).holds).toMatchObject([{ key: 'a' }]);
  });

  it('keeps all where the storage does not answer, and comes to it again', async () => {
    const { storage, holds, errors, lapse, sweep, used } = setUp();
    await lapse('acme', 'a', 40);
    storage.failing = true;
    await sweep('acme');
    await holds.idle();
    expect(errors).toEqual(['lapsed acme']);
    expect(await used('acme')).toEqual([0, 40]);
    storage.failing = false;
    expect(await sweep('acme')).toBe(true);
    await holds.idle();
    expect(await used('acme')).toEqual([0, 0]);
  });

  it('only lets go where there is no storage to ask', async () => {
    const { holds, lapse, sweep, used } = setUp({ storage: null });
    await lapse('acme', 'a', 40);
    await sweep('acme');
    await holds.idle();
    expect(await used('acme')).toEqual([0, 0]);
  });

  it('asks for each key once, in pages', async () => {
    const { storage, holds, reserve, lapse, sweep, used } = setUp();
    for (let n = 0; n < 600; n += 1) await reserve('acme', `k${n}`, 1, 1);
    for (let n = 0; n < 300; n += 1) await reserve('acme', 'same', 2, 1);
    await lapse('acme', 'same', 2);
    await sweep('acme');
    await holds.idle();
    expect(storage.asked).toEqual([500, 101]);
    expect(await used('acme')).toEqual([0, 0]);
  });

  it('has four tenants under way at most, and waits for those at its stop', async () => {
    const { storage, holds, lapse, sweep, used } = setUp();
    const gates: (() => void)[] = [];
    storage.meanwhile = () => new Promise<void>((resolve) => void gates.push(resolve));
    for (const tenant of ['a', 'b', 'c', 'd', 'e', 'f']) {
      await lapse(tenant, 'k', 1);
      await sweep(tenant);
    }
    await turn();
    expect(gates).toHaveLength(4);
    gates[0]!();
    while (gates.length < 5) await turn();
    let stopped = false;
    const stopping = holds.stop().then(() => (stopped = true));
    await turn();
    expect(stopped).toBe(false);
    for (const open of gates) open();
    await stopping;
    expect(await used('e')).toEqual([0, 0]);
    expect(await used('f')).toEqual([0, 1]);
  });
});
