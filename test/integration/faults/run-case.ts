import { QuotaUnavailableError } from '@app/quota';
import { startStallMeter, waitUntil } from '../../support';
import { App } from './app';
import type { Fault } from './fault-link';
import type { Lane, StoreName } from './lane';
import { KB, type Operation } from './operation';

export const HARD = KB * KB;
/** No answer comes later, but for the time that this process itself stood still. */
const LATEST_MS = 500;
/** What hangs does so until its caller has an answer, or so long. */
const HANG_MS = 1_200;
const SETTLED_MS = 12_000;

export interface Case {
  readonly operation: Operation;
  readonly store: StoreName;
  readonly fault: Fault;
  /** Without a fault. */
  readonly answer: string;
}

export interface Baseline {
  readonly answer: string;
  readonly commands: Readonly<Record<StoreName, number>>;
}

/** How it goes without a fault, and with how many commands. */
export async function baseline(lane: Lane, operation: Operation): Promise<Baseline> {
  const app = new App(lane, await lane.newTenant());
  const step = await operation.prepare(app);
  for (const link of Object.values(lane.links)) link.watch();
  const answer = await step.act();
  const { redis, postgres } = lane.links;
  const commands = { redis: redis.commands, postgres: postgres.commands };
  await step.next?.(answer);
  await step.again?.();
  await lane.endLease('fold');
  await settled(app);
  await lane.forget(app.tenant);
  return { answer, commands };
}

/** @throws Error saying what is wrong. */
export async function runCase(
  lane: Lane,
  { operation, store, fault, answer }: Case,
): Promise<void> {
  const app = new App(lane, await lane.newTenant());
  const step = await operation.prepare(app);
  const link = lane.links[store];
  app.slowestMs = 0;
  const stall = startStallMeter();
  link.watch(fault);
  const letGo = setTimeout(() => link.release(), HANG_MS);
  const said = await step.act().catch(unavailable);
  const [tookMs, stallMs] = [app.slowestMs, stall()];
  const hit = link.commands >= fault.n;
  // What the caller does next may still find the connection hanging.
  const next = step.next?.(said).catch(unavailable);
  setTimeout(() => link.release(), 50);
  await next;
  clearTimeout(letGo);
  link.release();
  link.watch();
  await lane.ready();
  // What could not be given up lapses after 5 and 10 s, which are not waited for.
  for (const lease of ['fold', `reconcile:${app.tenant}`]) await lane.endLease(lease);
  if (step.again !== undefined) await eventually(step.again);
  await settled(app);
  await lane.forget(app.tenant);
  if (!hit) throw new Error(`only ${link.commands} commands came`);
  const allowed = [answer, 'unavailable', ...(operation.also ?? [])];
  if (!allowed.includes(said)) throw new Error(`answered "${said}" instead of "${answer}"`);
  if (operation.upkeep !== true && tookMs - stallMs > LATEST_MS) {
    throw new Error(`an answer took ${tookMs.toFixed()} ms, with a stall of ${stallMs.toFixed()}`);
  }
}

function unavailable(error: unknown): string {
  if (error instanceof QuotaUnavailableError) return 'unavailable';
  throw error;
}

async function eventually(work: () => Promise<unknown>): Promise<void> {
  await waitUntil(() => work().then(() => true), { timeoutMs: 5_000 });
}

/** Soon the account is what is stored, nothing is held or owed anywhere, and what is left can be had. */
async function settled(app: App): Promise<void> {
  const { lane, tenant } = app;
  let wrong = '';
  const look = async (): Promise<boolean> => {
    await upkeep(app);
    wrong = await findings(app);
    return wrong === '';
  };
  await waitUntil(look, { timeoutMs: SETTLED_MS, what: () => `it to settle: ${wrong}` });
  const peak = lane.storage.peak.get(tenant) ?? 0;
  if (peak > HARD) throw new Error(`held ${peak} bytes`);
  const left = HARD - (await app.held());
  const asks = (bytes: number): Promise<string> =>
    app.must(() => app.ask('rest', bytes), 'an answer to a write of the rest');
  if ((await asks(left)) !== 'admitted') throw new Error(`the ${left} bytes left cannot be had`);
  if ((await asks(left + 1)) !== 'refused') throw new Error('more can be had than is left');
}

/** What instances do from time to time. */
async function upkeep(app: App): Promise<void> {
  const { lane, tenant } = app;
  await lane.bankUpkeep?.round();
  await lane.upkeep.sweep();
  for (const task of app.owed.splice(0)) {
    await task().catch((error: unknown) => {
      app.owed.push(task);
      throw error;
    });
  }
  if (app.suspect) {
    await lane.admin.reconcile(tenant);
    app.suspect = false;
  }
}

/** What is not as it should be; empty: all is. */
async function findings(app: App): Promise<string> {
  const { lane, tenant } = app;
  const usage = await lane.tracker.read(tenant);
  const [found, account, grant] = await Promise.all([
    lane.audit(tenant),
    lane.account(tenant),
    lane.grantOf(tenant),
  ]);
  const held = await app.held();
  const exact =
    found.committed === held &&
    found.trueCommitted === held &&
    usage.committedBytes === held &&
    [found.reserved, found.trueReserved, found.open, usage.reservedBytes].every((n) => n === 0);
  const brought =
    account.drawn === 0 && !account.pending && lane.waiting === 0 && app.owed.length === 0;
  // What the ledger may admit is within what the bank has given it, and that within the limit.
  const bounded = grant <= account.granted && account.granted <= HARD;
  if (exact && brought && bounded) return '';
  return JSON.stringify({ held, usage, found, account, grant, waiting: lane.waiting });
}
