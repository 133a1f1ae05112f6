import { QuotaAdmin, QuotaUnavailableError, UsageSource, type SourceEntry } from '@app/quota';
import { waitUntil } from '../../support';
import type { Instance } from './instance';
import type { Storage } from './storage';
import { HARD, KB, World } from './world';

let world: World;
let usageSource: Lookups;

beforeAll(async () => {
  world = await World.start();
});
beforeEach(() => {
  usageSource = new Lookups(world.storage, 'undone');
});
afterEach(() => {
  usageSource.release();
  return world.closeInstances();
});
afterAll(() => world.stop());

/** The application's storage; looking for one key can be held up, or fail. */
class Lookups extends UsageSource {
  /** How often that key was looked for. */
  asked = 0;
  failing = false;
  private held: Promise<void> = Promise.resolve();
  private go: () => void = () => undefined;

  constructor(
    private readonly storage: Storage,
    private readonly key: string,
  ) {
    super();
  }

  hold(): void {
    this.held = new Promise((resolve) => {
      this.go = resolve;
    });
  }

  release(): void {
    this.go();
  }

  page(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ entries: SourceEntry[]; next: string | null }> {
    return this.storage.page(tenant, cursor, limit);
  }

  async lookup(tenant: string, keys: readonly string[]): Promise<SourceEntry[]> {
    if (keys.includes(this.key)) {
      this.asked += 1;
      await this.held;
      if (this.failing) throw new Error('The storage is away.');
    }
    return this.storage.lookup(tenant, keys);
  }
}

/**
 * A write whose hold went with the data of Redis is committed by the bank, whose answer comes when the
 * caller has undone the write and has told so.
 */
async function undoneTooEarly(one: Instance, tenant: string, bytes: number): Promise<void> {
  const verdict = await one.checker.reserve({ tenant, key: 'undone', bytes });
  if (!verdict.admitted) throw new Error('refused');
  await world.flushRedis();
  one.databaseLink.delay(Infinity);
  const version = world.storage.put(tenant, 'undone', bytes);
  await expect(verdict.reservation.commit(undefined, { version })).rejects.toThrow(
    QuotaUnavailableError,
  );
  const undone = world.storage.undo(tenant, 'undone', version)!;
  const removed = await one.checker.remove(tenant, 'undone', undone);
  expect(removed.removed).toBe(false);
  one.databaseLink.delay(0);
}

it('a commit that lands in the bank after its write was undone does not stay counted', async () => {
  const one = await world.newInstance({ usageSource });
  const tenant = await world.newTenant();
  await one.put(tenant, 'old', 100 * KB);
  await undoneTooEarly(one, tenant, 200 * KB);
  await waitUntil(async () => (await world.account(tenant)).drawn === 200 * KB);
  await waitUntil(async () => (await one.put(tenant, 'again', KB)) === 'stored');
  await world.settled(tenant);
  expect(await one.put(tenant, 'last', HARD - 101 * KB)).toBe('stored');
});

it('until the storage was asked about it nobody is refused for it', async () => {
  const one = await world.newInstance({ usageSource });
  const other = await world.newInstance({ usageSource });
  const tenant = await world.newTenant();
  await one.put(tenant, 'old', 100 * KB);
  usageSource.hold();
  await undoneTooEarly(one, tenant, 200 * KB);
  await waitUntil(() => usageSource.asked > 0);
  expect((await one.tracker.read(tenant)).committedBytes).toBe(300 * KB);
  for (const instance of [one, other]) {
    expect(await instance.put(tenant, 'last', HARD - 100 * KB)).toBe('unavailable');
  }
  usageSource.release();
  await waitUntil(async () => (await other.put(tenant, 'last', HARD - 100 * KB)) === 'stored');
  await world.settled(tenant);
});

it('a storage that could not say is asked again', async () => {
  const one = await world.newInstance({ usageSource });
  const tenant = await world.newTenant();
  await one.put(tenant, 'old', 100 * KB);
  usageSource.failing = true;
  await undoneTooEarly(one, tenant, 200 * KB);
  await waitUntil(() => usageSource.asked > 0);
  expect(await one.put(tenant, 'last', HARD - 100 * KB)).toBe('unavailable');
  usageSource.failing = false;
  await waitUntil(async () => (await one.put(tenant, 'last', HARD - 100 * KB)) === 'stored');
  await world.settled(tenant);
});

it('without a storage to ask it counts until the key is written or deleted again', async () => {
  const one = await world.newInstance({ usageSource: undefined });
  const tenant = await world.newTenant();
  await one.put(tenant, 'old', 100 * KB);
  await undoneTooEarly(one, tenant, 200 * KB);
  await waitUntil(async () => (await world.account(tenant)).drawn === 200 * KB);
  // Redis is not rebuilt until an operator says that what it has is right.
  await one.module.get(QuotaAdmin).reconcile(tenant);
  await waitUntil(async () => (await world.account(tenant)).drawn === 0);
  expect((await one.tracker.read(tenant)).committedBytes).toBe(200 * KB);
  await waitUntil(async () => (await one.put(tenant, 'undone', KB)) === 'stored');
  expect((await one.tracker.read(tenant)).committedBytes).toBe(KB);
  await one.remove(tenant, 'undone');
  expect((await one.tracker.read(tenant)).committedBytes).toBe(0);
});
