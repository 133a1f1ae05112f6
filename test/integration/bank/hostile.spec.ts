import fc from 'fast-check';
import {
  InvalidTenantError,
  InvalidWriteError,
  QuotaCacheService,
  type QuotaWrite,
} from '@app/quota';
import type { Redis } from 'ioredis';
import { World } from './world';

const INVENTED = 100_000;
/** Not as many as keep this very process from hearing its stores in time. */
const AT_ONCE = 40;

let world: World;
let probe: Redis;

beforeAll(async () => {
  world = await World.start();
  probe = world.redis.client();
});
afterAll(() => world.stop());

async function rows(): Promise<number> {
  const [row] = await world.probe.query<{ n: string }[]>(
    `SELECT (SELECT count(*) FROM quota_ledger) + (SELECT count(*) FROM quota_ledger_holds)
      + (SELECT count(*) FROM quota_ledger_removals) AS n`,
  );
  return Number(row?.n);
}

/** Scripts run so far; what a bad argument must not add to. */
async function scriptCalls(): Promise<number> {
  const stats = await probe.info('commandstats');
  return [...stats.matchAll(/cmdstat_eval(?:sha)?(?:_ro)?:calls=(\d+)/g)].reduce(
    (sum, [, calls]) => sum + Number(calls),
    0,
  );
}

const badSizes = [
  ...[-50, NaN, Infinity, -Infinity, 1.5, 2 ** 53, 2 ** 53 + 2, -0.1, Number.MAX_VALUE],
  ...['1e3', '0x10', '٥', '10', ' 10', '', true, false, null, undefined, [], [10], {}, 10n],
];
const badTenants = [
  ...['', '{}', '__proto__', 'a b', 'a/b', 'a\r\nb', 'a\0', '.a', '-a', 'ä', 'x'.repeat(129)],
  ...['x'.repeat(15_000), null, undefined, 5, true, [], {}, ['a'], '{a}', 'a}b', '*'],
];
const badKeys = ['', 'x'.repeat(513), '€'.repeat(171), '\ud800', 5, null, true, [], {}];
const badTtls = [0, -1, 1.5, NaN, Infinity, '60', null, 2 ** 53, true];

/** A write of which one part is bad, and perhaps others. */
const writes = fc
  .record({
    tenant: fc.option(fc.constantFrom(...badTenants), { nil: 'tenant' }),
    bytes: fc.option(fc.constantFrom(...badSizes), { nil: 10 }),
    key: fc.option(fc.constantFrom(...badKeys), { nil: 'key' }),
    ttlSeconds: fc.option(fc.constantFrom(...badTtls), { nil: 60 }),
  })
  .filter(
    ({ tenant, bytes, key, ttlSeconds }) =>
      tenant !== 'tenant' || bytes !== 10 || key !== 'key' || ttlSeconds !== 60,
  );

it('whatever is wrong with a write is said before anything is sent', async () => {
  // Nothing of its own accord meanwhile.
  const { checker } = await world.newInstance({
    bank: false,
    usageSyncSeconds: 0,
    sweepSeconds: 0,
  });
  const before = [await scriptCalls(), await rows()];
  await fc.assert(
    fc.asyncProperty(writes, async (made) => {
      const write = made as unknown as QuotaWrite;
      const calls = [
        () => checker.reserve(write),
        () => checker.check(write),
        () => checker.preflight(write),
        () => checker.run(write, async () => undefined),
      ];
      for (const call of calls) {
        const error: unknown = await call().catch((thrown: unknown) => thrown);
        const known = error instanceof InvalidWriteError || error instanceof InvalidTenantError;
        expect([known, error]).toEqual([true, error]);
        // What came from outside is not repeated at length.
        expect((error as Error).message.length).toBeLessThan(500);
      }
    }),
    { numRuns: 500 },
  );
  for (const tenant of badTenants as string[]) {
    await expect(checker.remove(tenant, 'key')).rejects.toBeInstanceOf(InvalidTenantError);
    await expect(checker.refund(tenant, 1)).rejects.toBeInstanceOf(InvalidTenantError);
    await expect(checker.status(tenant)).rejects.toBeInstanceOf(InvalidTenantError);
  }
  for (const key of badKeys as string[]) {
    await expect(checker.remove('tenant', key)).rejects.toBeInstanceOf(InvalidWriteError);
  }
  for (const bytes of badSizes as number[]) {
    await expect(checker.refund('tenant', bytes)).rejects.toBeInstanceOf(InvalidWriteError);
  }
  expect([await scriptCalls(), await rows()]).toEqual(before);
});

it('100,000 invented tenants leave no key, no row, and bounded memory', async () => {
  const one = await world.newInstance({ unknownTenant: 'deny' });
  const neighbour = await world.newTenant();
  expect(await one.put(neighbour, 'a', 1_000)).toBe('stored');
  const records = await rows();
  const { checker } = one;
  let made = 0;
  const lane = async (): Promise<void> => {
    while (made < INVENTED) {
      const tenant = `invented-${String(made++)}`;
      const write = { tenant, key: 'k', bytes: 10 };
      const ask = [
        () => checker.reserve(write),
        () => checker.remove(tenant, 'k'),
        () => checker.status(tenant),
        () => checker.refund(tenant, 10),
        () => checker.check(write),
      ][made % 5];
      await ask?.().catch(() => undefined);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  expect((await probe.keys('*')).filter((key) => key.includes('invented'))).toEqual([]);
  expect(await rows()).toBe(records);
  const quotas = one.module.get(QuotaCacheService);
  expect(quotas.heldTenants).toBeLessThanOrEqual(10_000);
  expect(await one.put(neighbour, 'b', 1_000)).toBe('stored');
  await world.settled(neighbour);
}, 180_000);
