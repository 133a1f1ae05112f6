import { PostgresQuotaBank, PostgresUsageTracker } from '../../../libs/quota/src/adapters/postgres';
import { RedisUsageTracker } from '../../../libs/quota/src/adapters/redis';
import { GrantKeeper, LocalLease, QuotaObserver } from '../../../libs/quota/src/core';
import { randomUUID } from 'node:crypto';
import { Scene } from '../../contract/usage-tracker/scene';
import { World } from './world';

const HARD = 1_000;
const CHUNK = 50;
const LIMITS = { quotaBytes: HARD, hardBytes: HARD };

let world: World;
let bank: PostgresQuotaBank;
let drawn: PostgresUsageTracker;
let ledger: RedisUsageTracker;
let keeper: GrantKeeper;

beforeAll(async () => {
  world = await World.start();
  bank = new PostgresQuotaBank(world.probe);
  drawn = new PostgresUsageTracker(world.probe);
  ledger = new RedisUsageTracker(world.redis.client(), { bank: true, deadlineMs: 5_000 });
  const [lease, observer] = [new LocalLease(), new QuotaObserver()];
  keeper = new GrantKeeper({ ledger, grants: ledger, bank, lease, observer }, CHUNK);
});
afterAll(() => world.stop());

/** A tenant that has held 900 bytes and holds 100. */
async function emptied(): Promise<{ tenant: string; main: Scene; beside: Scene }> {
  const tenant = `t-${randomUUID()}`;
  const grant = await bank.grant({
    ...{ tenant, seen: 0, wantBytes: 900, hardBytes: HARD, chunkBytes: CHUNK },
  });
  if (grant.outcome !== 'granted') throw new Error(grant.outcome);
  await ledger.beginRebuild(tenant, grant.grant.generation, 'n', 0);
  await ledger.takeGrant(tenant, grant.grant, 'n');
  const main = new Scene(ledger, tenant, LIMITS);
  await main.put('a', 800);
  await main.put('b', 100);
  await main.remove('a');
  return { tenant, main, beside: new Scene(drawn, tenant, LIMITS) };
}

async function lower(tenant: string): Promise<void> {
  for (const granted of await bank.lowerable(null, 1_000)) {
    if (granted.tenant === tenant) await keeper.lower(granted);
  }
}

it('what is granted and not used can be drawn by those without Redis', async () => {
  const { tenant, main, beside } = await emptied();
  expect(await beside.reserve('x', 51)).toMatchObject({ outcome: 'rejected' });
  await lower(tenant);
  expect(await world.account(tenant)).toEqual({ granted: 150, drawn: 0 });
  expect((await ledger.ledgerStanding(tenant)).grantBytes).toBe(150);
  await beside.put('x', 850);
  expect(await beside.reserve('y', 1)).toMatchObject({ outcome: 'rejected' });
  await main.put('c', 50);
  await expect(main.reserve('d', 1)).rejects.toThrow();
});

it('a little more than is used is left as it is', async () => {
  const { tenant, main } = await emptied();
  await main.put('c', 760);
  await lower(tenant);
  expect(await world.account(tenant)).toEqual({ granted: 950, drawn: 0 });
});

it('given back and not taken back, since its instance was killed, it is taken back next time', async () => {
  const { tenant } = await emptied();
  await ledger.lowerGrant(tenant, CHUNK);
  expect(await world.account(tenant)).toEqual({ granted: 950, drawn: 0 });
  await lower(tenant);
  expect(await world.account(tenant)).toEqual({ granted: 150, drawn: 0 });
});

it('what was given back is not taken back after a later grant, or after a batch', async () => {
  const { tenant, beside } = await emptied();
  const late = await ledger.lowerGrant(tenant, CHUNK);
  const request = { tenant, wantBytes: 700, hardBytes: HARD, chunkBytes: 0 };
  const raised = await bank.grant({ ...request, seen: late!.seq });
  if (raised.outcome !== 'granted') throw new Error(raised.outcome);
  expect(await ledger.takeGrant(tenant, raised.grant)).toBe('taken');
  expect(await bank.lower(tenant, late!)).toBe(false);

  const early = await ledger.lowerGrant(tenant, CHUNK);
  await beside.put('x', 30);
  expect(await keeper.fold(tenant)).toBe(true);
  expect(await bank.lower(tenant, early!)).toBe(false);
  const { grantBytes } = await ledger.ledgerStanding(tenant);
  expect((await world.account(tenant)).granted).toBeGreaterThanOrEqual(grantBytes);
  // Two rounds: in the first they agree on a number again.
  await lower(tenant);
  await lower(tenant);
  expect(await world.account(tenant)).toEqual({ granted: 180, drawn: 0 });
  expect((await ledger.ledgerStanding(tenant)).grantBytes).toBe(180);
});
