import { MemoryUsageTracker, type KeyView } from '@app/quota';
import { LedgerEvictables } from './ledger-evictables';

const TENANT = 'acme';
const LISTED_AT_ONCE = 500;

/** So many entries of 10 bytes, k0 the oldest, and counts how much of the ledger is listed. */
async function ledgerOf(count: number) {
  const tracker = new MemoryUsageTracker();
  const value = { body: Buffer.alloc(10), meta: '' };
  // Not in the order of the listing, which is by key.
  const keys = Array.from({ length: count }, (_, n) => `k${(n * 7_919) % count}`);
  for (const key of keys) {
    await tracker.putUnmetered({ tenant: TENANT, id: `id-${key}`, key, value, stamp: 0 });
  }
  let listed = 0;
  const evictables = new LedgerEvictables({
    entries: (tenant, cursor, limit) => {
      listed += 1;
      return tracker.entries(tenant, cursor, limit);
    },
  });
  const left = async (): Promise<Set<string>> => {
    const present = new Set<string>();
    let cursor: string | null = null;
    do {
      const page: { entries: KeyView[]; next: string | null } = await tracker.entries(
        TENANT,
        cursor,
        LISTED_AT_ONCE,
      );
      for (const { key, entry } of page.entries) if (entry !== null) present.add(key);
      cursor = page.next;
    } while (cursor !== null);
    return present;
  };
  return { tracker, evictables, keys, left, listed: () => listed };
}

/** As an eviction goes through the pages: of each only so many, the rest of it with the next one. */
async function evict(
  { tracker, evictables }: Awaited<ReturnType<typeof ledgerOf>>,
  { entries, limit, each }: { entries: number; limit: number; each: number },
): Promise<void> {
  let [at, freeBytes] = ['', entries * 10];
  while (freeBytes > 0) {
    const page = await evictables.page(TENANT, { at, limit, freeBytes });
    const some = page.entries.slice(0, Math.min(each, freeBytes / 10));
    for (const { key, bytes, version, written = 0 } of some) {
      const seen = { bytes, version, written };
      const { deltaBytes } = await tracker.correct(TENANT, [{ key, seen }]);
      freeBytes += deltaBytes;
    }
    at = some.length < page.entries.length ? page.here : String(page.next);
  }
}

it.each([1_000, 300])(
  'takes what is oldest, with a look or two at the whole, %d of a page at once',
  async (each) => {
    const stage = await ledgerOf(10_000);
    await evict(stage, { entries: 7_500, limit: 1_000, each });
    expect(await stage.left()).toEqual(new Set(stage.keys.slice(7_500)));
    const looks = stage.listed() / (10_000 / LISTED_AT_ONCE);
    // One for the first page, one through what is as old, one for what the histogram left.
    expect(looks).toBeLessThan(each === 1_000 ? 4 : 6);
  },
);

it('tells the oldest in their order, and goes no further than was asked for', async () => {
  const { evictables, keys } = await ledgerOf(2_000);
  const few = await evictables.page(TENANT, { at: '', limit: 100, freeBytes: 990 });
  expect(few.entries.map(({ key }) => key)).toEqual(keys.slice(0, 100));
  expect(few).toMatchObject({ here: '', next: '' });
  const all = await evictables.page(TENANT, { at: '', limit: 2_000, freeBytes: 990 });
  expect(all.next).toBeNull();
  expect(all.entries).toHaveLength(2_000);
});

it.each([
  ['5/', null],
  ['5', 10],
  ['x', 10],
  ['12345678901234567/', 10],
  ['5/x', 10],
])('knows no place %s, where %s bytes are to be freed', async (at, freeBytes) => {
  const { evictables } = await ledgerOf(1);
  const asked = evictables.page(TENANT, { at, limit: 1, freeBytes });
  await expect(asked).rejects.toMatchObject({ status: 400 });
});
