import { UsageSource, type SourceEntry } from '@app/quota';
import { BankedTracker } from '../../../libs/quota/src/core/banked-tracker';
import { waitUntil } from '../../support';
import { figures } from './figures';
import type { Instance } from './instance';
import { cutOff, HARD, KB, World } from './world';

/** The application's storage, of which nobody hears in which order it was written. */
class WithoutVersions extends UsageSource {
  async page(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ entries: SourceEntry[]; next: string | null }> {
    const { entries, next } = await world.storage.page(tenant, cursor, limit);
    return { entries: entries.map(unversioned), next };
  }

  async lookup(tenant: string, keys: readonly string[]): Promise<SourceEntry[]> {
    return (await world.storage.lookup(tenant, keys)).map(unversioned);
  }
}

function unversioned({ key, bytes }: SourceEntry): SourceEntry {
  return { key, bytes };
}

/** What an application gives the quota to go by. */
interface Knowledge {
  readonly versions: boolean;
  readonly source: boolean;
}

let world: World;
beforeAll(async () => {
  world = await World.start();
}, 60_000);
afterEach(() => world.closeInstances());
afterAll(() => world.stop(), 60_000);

/** One outage of one instance: what it and another one, that has Redis, do to the same key. */
class Outage {
  private constructor(
    readonly tenant: string,
    private readonly knowledge: Knowledge,
    private readonly cut: Instance,
    readonly other: Instance,
  ) {}

  /** Both instances and a tenant that has a grant, of which `cut` loses Redis. */
  static async begin(knowledge: Knowledge): Promise<Outage> {
    const usageSource = knowledge.source ? new WithoutVersions() : undefined;
    const options = { usageSource, onOutage: 'allow', outageBudgetMb: 1 } as const;
    const [cut, other] = [await world.newInstance(options), await world.newInstance(options)];
    const outage = new Outage(await world.newTenant(), knowledge, cut, other);
    await outage.put(other, 'k', 100 * KB);
    await cut.checker.status(outage.tenant);
    await cutOff(cut);
    return outage;
  }

  inBank = {
    put: (bytes: number) => this.put(this.cut, 'k', bytes),
    remove: () => this.remove(this.cut, 'k'),
  };

  /** PostgreSQL is away from it as well, so that what it does has to wait. */
  inNeither = {
    put: async (bytes: number) => {
      this.cut.databaseLink.down();
      await this.put(this.cut, 'k', bytes);
    },
    remove: async () => {
      this.cut.databaseLink.down();
      await this.remove(this.cut, 'k');
    },
  };

  inRedis = {
    put: (bytes: number) => this.put(this.other, 'k', bytes),
    remove: () => this.remove(this.other, 'k'),
  };

  async put(instance: Instance, key: string, bytes: number): Promise<void> {
    const { tenant } = this;
    const verdict = await instance.checker.reserve({ tenant, key, bytes });
    if (!verdict.admitted) throw new Error('refused');
    const version = world.storage.put(tenant, key, bytes);
    await verdict.reservation.commit(bytes, this.knowledge.versions ? { version } : {});
  }

  async remove(instance: Instance, key: string): Promise<void> {
    const version = world.storage.delete(this.tenant, key);
    await instance.checker.remove(this.tenant, key, this.knowledge.versions ? version : undefined);
  }

  /** A write of the other instance is on its way to the key. @returns gives it up */
  async holding(): Promise<() => Promise<unknown>> {
    const { tenant, other } = this;
    const verdict = await other.checker.reserve({ tenant, key: 'k', bytes: KB });
    if (!verdict.admitted) throw new Error('refused');
    return () => verdict.reservation.release();
  }

  /** Redis is there again for both, and has taken over what was admitted and given back without it. */
  async end(): Promise<void> {
    const { tracker, databaseLink, redisLink } = this.cut;
    redisLink.up();
    // First, so that nothing that waits goes by way of PostgreSQL.
    await waitUntil(() => this.cut.redisState() === 'closed');
    databaseLink.up();
    await waitUntil(async () => {
      if (!(tracker instanceof BankedTracker)) throw new Error('There is no bank.');
      await tracker.settle();
      if (tracker.waiting > 0) return false;
      const [row] = await world.probe.query<{ pending: boolean }[]>(
        'SELECT pending FROM quota_ledger WHERE tenant_id = $1',
        [this.tenant],
      );
      return row?.pending === false;
    });
  }

  /** In bytes; what is stored and not counted, negative where too much is counted. */
  async uncounted(): Promise<number> {
    const { committedBytes, reservedBytes } = await this.other.tracker.read(this.tenant);
    return world.storage.held(this.tenant) - committedBytes - reservedBytes;
  }

  /** Writes until the account says that not a byte more fits. Returns bytes stored beyond the limit. */
  async fill(): Promise<number> {
    const { tenant, other } = this;
    const { committedBytes } = await other.tracker.read(tenant);
    await this.put(other, `fill beside ${committedBytes}`, HARD - committedBytes);
    await expect(this.put(other, 'more', 1)).rejects.toThrow('refused');
    return world.storage.held(tenant) - HARD;
  }
}

const ORDERS: Record<string, { play: (outage: Outage) => Promise<void>; lost: number }> = {
  'deleted by way of PostgreSQL, then written by way of Redis': {
    play: async ({ inBank, inRedis }) => {
      await inBank.remove();
      await inRedis.put(200 * KB);
    },
    lost: 200 * KB,
  },
  'deleted where neither is, then written by way of Redis': {
    play: async ({ inNeither, inRedis }) => {
      await inNeither.remove();
      await inRedis.put(200 * KB);
    },
    lost: 200 * KB,
  },
  'written where neither is, then larger by way of Redis': {
    play: async ({ inNeither, inRedis }) => {
      await inNeither.put(10 * KB);
      await inRedis.put(200 * KB);
    },
    lost: 190 * KB,
  },
  'written by way of PostgreSQL, then larger by way of Redis': {
    play: async ({ inBank, inRedis }) => {
      await inBank.put(10 * KB);
      await inRedis.put(200 * KB);
    },
    lost: 190 * KB,
  },
};

describe.each(Object.entries(ORDERS))('a key %s in the same outage', (order, { play, lost }) => {
  it('without versions and UsageSource: over by what is stored of it, until it is written or deleted', async () => {
    const outage = await Outage.begin({ versions: false, source: false });
    await play(outage);
    await outage.end();
    expect(await outage.uncounted()).toBe(lost);
    const overBytes = await outage.fill();
    figures('unversioned', { order, storedBytes: 200 * KB, overBytes });
    expect(overBytes).toBe(lost);
    await outage.inRedis.remove();
    await world.settled(outage.tenant);
    expect(await outage.fill()).toBe(0);
  });

  it.each([
    { versions: true, source: false },
    { versions: false, source: true },
  ])('with %p it is counted to the byte', async (knowledge) => {
    const outage = await Outage.begin(knowledge);
    await play(outage);
    await outage.end();
    await world.settled(outage.tenant);
    expect(await outage.fill()).toBe(0);
  });
});

it('a key written by way of PostgreSQL, then deleted by way of Redis, counts until it is deleted again', async () => {
  const outage = await Outage.begin({ versions: false, source: false });
  await outage.inBank.put(200 * KB);
  await outage.inRedis.remove();
  await outage.end();
  expect(await outage.uncounted()).toBe(-200 * KB);
  expect(await outage.fill()).toBe(-200 * KB);
  await outage.inRedis.remove();
  await world.settled(outage.tenant);
});

it('a key that a write was on its way to when it was compared is compared once that has come to nothing', async () => {
  const outage = await Outage.begin({ versions: false, source: true });
  await outage.inBank.remove();
  await outage.inRedis.put(200 * KB);
  const giveUp = await outage.holding();
  await outage.end();
  expect(await outage.uncounted()).toBe(199 * KB);
  await giveUp();
  await waitUntil(async () => (await outage.uncounted()) === 0);
  expect(await outage.fill()).toBe(0);
});
