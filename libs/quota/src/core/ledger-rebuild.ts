import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { GrantedLedger, QuotaBank } from './bank';
import { MAX_BYTES } from './bytes';
import type { UpkeepLease } from './lease';
import { usedBytes, type UsageTracker } from './usage-tracker';

/**
 * Says that someone is at it. Kept by a timer, since no page of work is here to do it: a longer one
 * that was killed, or whose taking got no answer, would leave the tenant to the bank for as long.
 */
const LEASE_MS = 5_000;

/**
 * All that can be told have held anew by then: an instance listens again within 500 ms of its server's
 * return, and its client is back within 600. It is more than a request may take, so that what was on
 * its way has mostly ended, too.
 */
const HOLDERS_MS = 800;

export interface RebuildParts {
  readonly ledger: UsageTracker;
  readonly grants: GrantedLedger;
  readonly bank: QuotaBank;
  readonly lease: UpkeepLease;
  /** Brings the ledger in line with what is really stored. */
  readonly reconcile: (tenant: string) => Promise<unknown>;
  readonly tellLoss?: (tenant: string) => Promise<void>;
}

/**
 * What a ledger that lost its data goes through: it admits nothing while its entries are found again,
 * and then gets what it was granted, at least what it holds. Killed anywhere, it is begun anew.
 *
 * Its reservations are lost too, and what they were for may be stored only after the storage was read.
 * So every instance is told first, to hold anew what it has open, and has the time to do so.
 *
 * @returns false: another instance is at it, or the data was lost again meanwhile
 */
export async function rebuild(tenant: string, parts: RebuildParts): Promise<boolean> {
  const held = await parts.lease.take(`rebuild:${tenant}`, LEASE_MS);
  if (held === null) return false;
  const keeping = setInterval(() => void held.keep(LEASE_MS), LEASE_MS / 3).unref();
  try {
    return await work(tenant, parts);
  } finally {
    clearInterval(keeping);
    await held.release().catch(() => undefined);
  }
}

async function work(tenant: string, parts: RebuildParts): Promise<boolean> {
  const { ledger, grants, bank, reconcile, tellLoss } = parts;
  const account = await bank.standing(tenant);
  if (account === null || account.dropping) return false;
  const nonce = randomUUID();
  const { seq } = await grants.ledgerStanding(tenant);
  if ((await grants.beginRebuild(tenant, account.generation, nonce, seq)) !== 'begun') return false;
  // Without it those that were on their way are as in a process that died; see docs/reliability.md.
  await tellLoss?.(tenant).catch(() => undefined);
  await pause(HOLDERS_MS);
  await reconcile(tenant);
  const wantBytes = usedBytes(await ledger.read(tenant));
  // What is stored is stored, whatever the limit: the bank must know of it.
  const reply = await bank.grant({
    ...{ tenant, seen: seq, wantBytes, rebuilt: true },
    ...{ hardBytes: MAX_BYTES, chunkBytes: 0 },
  });
  if (reply.outcome !== 'granted') return false;
  return (await grants.takeGrant(tenant, reply.grant, nonce)) === 'taken';
}
