import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { PostgresQuotaBank, PostgresUsageTracker } from '../../../libs/quota/src/adapters/postgres';
import { RedisUsageTracker } from '../../../libs/quota/src/adapters/redis';
import {
  BankDesk,
  BankReturns,
  BankedTracker,
  GrantKeeper,
  LocalLease,
  OutageBudget,
  QuotaObserver,
  QuotaUnavailableError,
  type QuotaBank,
} from '../../../libs/quota/src/core';
import { Scene } from '../../contract/usage-tracker/scene';
import { KB, World } from './world';

const HARD = 100 * KB;
const LIMITS = { quotaBytes: HARD, hardBytes: HARD };

let world: World;
let bank: PostgresQuotaBank;
let bankLedger: PostgresUsageTracker;
let ledger: RedisUsageTracker;

beforeAll(async () => {
  world = await World.start();
  bank = new PostgresQuotaBank(world.probe);
  bankLedger = new PostgresUsageTracker(world.probe);
  ledger = new RedisUsageTracker(world.redis.client(), { bank: true, deadlineMs: 5_000 });
});
afterAll(() => world.stop());

/** An instance that does something before each call of one method of the bank. */
function instance(
  method?: 'standing' | 'beginFold' | 'grant',
  before: (tenant: string) => Promise<unknown> = async () => undefined,
): { tracker: BankedTracker; keeper: GrantKeeper } {
  const own = new Proxy<QuotaBank>(bank, {
    get: (object, name) => {
      const member: unknown = Reflect.get(object, name);
      if (typeof member !== 'function') return member;
      return async (...args: unknown[]): Promise<unknown> => {
        if (name === method) await before(args[0] as string);
        return Reflect.apply(member, object, args);
      };
    },
  });
  const [lease, observer] = [new LocalLease(), new QuotaObserver()];
  const budget = new OutageBudget(false, 0);
  const parts = { ledger, grants: ledger, bankLedger, bank: own, lease, observer, budget };
  const keeper = new GrantKeeper(parts, 10 * KB);
  const desk = new BankDesk(parts);
  const returns = new BankReturns({ ...parts, desk });
  return {
    tracker: new BankedTracker({ ...parts, server: ledger, keeper, desk, returns }),
    keeper,
  };
}

/** A tenant of whose 90 KB an instance without Redis has deleted 30. */
async function deletedElsewhere(): Promise<string> {
  const tenant = `t-${randomUUID()}`;
  const main = new Scene(instance().tracker, tenant, LIMITS);
  await main.put('a', 60 * KB);
  await main.put('b', 30 * KB);
  await new Scene(bankLedger, tenant, LIMITS).remove('b');
  return tenant;
}

/** A starved machine leaves no time for the first attempts. */
async function decided<T>(attempt: () => Promise<T>): Promise<T> {
  for (let left = 10; ; left -= 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError) || left === 0) throw error;
    }
  }
}

it.each(['standing', 'beginFold'] as const)(
  'what another instance has folded before %s is asked for is no reason to refuse',
  async (method) => {
    const tenant = await deletedElsewhere();
    const other = instance();
    const { tracker } = instance(method, (name) => other.keeper.fold(name));
    const scene = new Scene(tracker, tenant, LIMITS);
    const { outcome } = await decided(() => scene.reserve('c', 40 * KB));
    expect(outcome).toBe('reserved');
  },
);

it('a forecast refuses by the journal as a reservation does', async () => {
  const tenant = await deletedElsewhere();
  const { tracker } = instance();
  const write = { tenant, key: 'c', limits: LIMITS, stamp: 1, enforce: true };
  expect((await tracker.check({ ...write, bytes: 40 * KB })).outcome).toBe('reserved');
  expect((await tracker.check({ ...write, bytes: 41 * KB })).outcome).toBe('rejected');
});

it('a refusal that nothing speaks against asks the ledger once', async () => {
  const tenant = await deletedElsewhere();
  const { tracker } = instance();
  const scene = new Scene(tracker, tenant, LIMITS);
  expect((await scene.reserve('c', 41 * KB)).outcome).toBe('rejected');
  const asked = jest.spyOn(ledger, 'reserve');
  expect((await scene.reserve('c', 41 * KB)).outcome).toBe('rejected');
  expect(asked).toHaveBeenCalledTimes(1);
  asked.mockRestore();
});

it('a reservation that another ledger has taken over meanwhile is not made in the first', async () => {
  const tenant = `t-${randomUUID()}`;
  const { tracker } = instance('grant', () => pause(400));
  const scene = new Scene(tracker, tenant, LIMITS);
  const reply = await decided(() => scene.reserve('a', 10 * KB));
  expect(reply).toMatchObject({ outcome: 'reserved', source: 'postgres' });
  await pause(600);
  expect(await ledger.read(tenant)).toMatchObject({ reservedBytes: 0 });
});
