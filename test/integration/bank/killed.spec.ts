import { randomUUID } from 'node:crypto';
import { type DataSource } from 'typeorm';
import { PostgresQuotaBank, PostgresUsageTracker } from '../../../libs/quota/src/adapters/postgres';
import { RedisUsageTracker } from '../../../libs/quota/src/adapters/redis';
import {
  GrantKeeper,
  LocalLease,
  QuotaObserver,
  usedBytes,
  type GrantedLedger,
  type QuotaBank,
} from '../../../libs/quota/src/core';
import { Scene } from '../../contract/usage-tracker/scene';
import { KB, World } from './world';

const LIMITS = { quotaBytes: 100 * KB, hardBytes: 100 * KB };

let world: World;
let bank: PostgresQuotaBank;
let drawn: PostgresUsageTracker;
let ledger: RedisUsageTracker;

beforeAll(async () => {
  world = await World.start();
  const source: DataSource = world.probe;
  bank = new PostgresQuotaBank(source);
  drawn = new PostgresUsageTracker(source);
  ledger = new RedisUsageTracker(world.redis.client(), { bank: true, deadlineMs: 5_000 });
});
afterAll(() => world.stop());

/** Ends "the process" with the n-th call that goes out, before it or after it was answered. */
class Mortal {
  calls = 0;

  constructor(
    private readonly last: number,
    private readonly when: 'before' | 'after',
  ) {}

  wrap<T extends object>(target: T): T {
    return new Proxy(target, {
      get: (object, name) => {
        const member: unknown = Reflect.get(object, name);
        if (typeof member !== 'function') return member;
        return async (...args: unknown[]): Promise<unknown> => {
          const dies = ++this.calls >= this.last;
          if (dies && (this.when === 'before' || this.calls > this.last)) throw new Error('killed');
          const result: unknown = await Reflect.apply(member, object, args);
          if (dies) throw new Error('killed');
          return result;
        };
      },
    });
  }
}

function keeper(mortal?: Mortal): GrantKeeper {
  const wrap = <T extends object>(target: T): T => mortal?.wrap(target) ?? target;
  return new GrantKeeper(
    {
      ledger: wrap(ledger),
      grants: wrap<GrantedLedger>(ledger),
      bank: wrap<QuotaBank>(bank),
      lease: new LocalLease(),
      observer: new QuotaObserver(),
    },
    10 * KB,
  );
}

/** A tenant that both have admitted writes of, and what it holds in all. */
async function divided(): Promise<{ tenant: string; total: number; beside: Scene }> {
  const tenant = `t-${randomUUID()}`;
  const grant = await bank.grant({
    ...{ tenant, seen: 0, wantBytes: 40 * KB, hardBytes: 100 * KB, chunkBytes: 0 },
  });
  if (grant.outcome !== 'granted') throw new Error(grant.outcome);
  await ledger.beginRebuild(tenant, grant.grant.generation, 'n', 0);
  await ledger.takeGrant(tenant, grant.grant, 'n');
  const main = new Scene(ledger, tenant, LIMITS);
  await main.put('a', 10 * KB);
  await main.put('b', 10 * KB);
  await main.put('c', 10 * KB);
  const beside = new Scene(drawn, tenant, LIMITS);
  await beside.put('a', 20 * KB);
  await beside.put('new', 5 * KB);
  await beside.put(undefined, 3 * KB);
  await beside.remove('b');
  return { tenant, total: 38 * KB, beside };
}

const cases = Array.from({ length: 6 }, (_, i) => i + 1).flatMap((n) =>
  (['before', 'after'] as const).map((when): [number, 'before' | 'after'] => [n, when]),
);

it.each(cases)('a return of the journal killed at its call %i, %s it', async (last, when) => {
  const { tenant, total, beside } = await divided();
  const mortal = new Mortal(last, when);
  await keeper(mortal)
    .settle(tenant)
    .catch(() => undefined);
  // Life goes on meanwhile, and keys of the batch change once more.
  await beside.put('new', 7 * KB);
  const others = [keeper(), keeper()];
  await Promise.all(others.map((other) => other.settle(tenant)));
  await others[0]!.settle(tenant);
  expect(usedBytes(await ledger.read(tenant))).toBe(total + 2 * KB);
  expect(await bank.standing(tenant)).toMatchObject({ drawnBytes: 0, pending: false });
  const { grantBytes } = await ledger.ledgerStanding(tenant);
  const account = await world.account(tenant);
  expect(account).toEqual({ granted: grantBytes, drawn: 0 });
  expect(account.granted).toBeLessThanOrEqual(100 * KB);
});

it('all calls of a return were among them', async () => {
  const { tenant } = await divided();
  const mortal = new Mortal(Infinity, 'before');
  await keeper(mortal).settle(tenant);
  expect(mortal.calls).toBeLessThanOrEqual(cases.length / 2);
  expect(mortal.calls).toBeGreaterThan(3);
});
