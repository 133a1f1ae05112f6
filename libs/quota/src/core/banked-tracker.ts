import { LRUCache } from 'lru-cache';
import { GrantShortError, type GrantedLedger, type QuotaBank } from './bank';
import type { BankDesk } from './bank-desk';
import type { BankReturns } from './bank-returns';
import { charge } from './charge';
import { soon } from './budget';
import { QuotaUnavailableError, UndecidedError } from './errors';
import type { GrantKeeper } from './grant-keeper';
import { OutageBudget } from './outage-budget';
import type { StoredTruth } from './stored-truth';
import {
  UsageTracker,
  usedBytes,
  type CommitReply,
  type CommitRequest,
  type EntryCorrection,
  type KeyView,
  type LapsedHold,
  type RefundReply,
  type RefundRequest,
  type ReleaseReply,
  type RemoveReply,
  type RemoveRequest,
  type ReserveReply,
  type ReserveRequest,
  type SweepReply,
  type TenantPage,
  type Usage,
} from './usage-tracker';

export interface BankedTrackerParts {
  /** The ledger that decides as long as it can be asked. */
  readonly ledger: UsageTracker;
  /** The same without a breaker, for what is tried whatever that says. */
  readonly server: Pick<UsageTracker, 'reserve'>;
  readonly grants: GrantedLedger;
  /** The bank's own ledger, which admits what is not granted. */
  readonly bankLedger: UsageTracker;
  readonly bank: QuotaBank;
  readonly keeper: GrantKeeper;
  readonly desk: BankDesk;
  readonly returns: BankReturns;
  readonly budget: OutageBudget;
  /** What is really stored; absent: nobody can say. */
  readonly truth?: Pick<StoredTruth, 'verify' | 'again'>;
}

/** A write may need a larger grant, and lose it to others, so often. */
const MOST_ROUNDS = 8;
const UNSURE_REMEMBERED = 100_000;
const JOURNALS_REMEMBERED = 10_000;
const RENEWED_REMEMBERED = 100_000;
/**
 * All that a request waits for one store, in however many steps, before the other one takes over: a slot
 * that is being moved takes longer, and what a request may take in all (core/budget.ts) is for both.
 */
const STORE_MS = 200;
/**
 * Two ledgers under one limit. The first decides within what the bank has granted it; an instance that
 * cannot reach it decides in the bank's own, within what was not granted; and with both away a fixed
 * budget decides, or nobody. What is admitted anywhere comes together again in the first.
 */
export class BankedTracker extends UsageTracker {
  /**
   * Commits without a key of which one store has not said what became of them. Nothing tells two such
   * charges from one, so they are cleared up where they arose.
   */
  private readonly unsure = new LRUCache<string, 'ledger' | 'bank'>({ max: UNSURE_REMEMBERED });

  /** How a tenant's journal stood when nothing of it could be folded: its last batch, and whether more waits. */
  private readonly journals = new LRUCache<string, string>({ max: JOURNALS_REMEMBERED });

  /** The generations of reservations that were held anew. */
  private readonly lives = new LRUCache<string, string>({ max: RENEWED_REMEMBERED });

  constructor(private readonly parts: BankedTrackerParts) {
    super();
  }

  get store(): string {
    return this.parts.ledger.store;
  }

  async reserve(request: ReserveRequest): Promise<ReserveReply> {
    const { tenant, id } = request;
    const attempt = { over: false };
    try {
      return await soon('reserve', STORE_MS, this.withinGrant(request, attempt));
    } catch (error) {
      attempt.over = true;
      if (!isAway(error)) throw error;
      // It may hold the bytes all the same; so they need not wait for the deadline.
      if (error.applied === 'unknown') this.parts.returns.releaseLater(tenant, id);
      return this.parts.desk.reserve(request, error);
    }
  }

  async check(request: Omit<ReserveRequest, 'id' | 'holdMs'>): Promise<ReserveReply> {
    try {
      return await this.forecast(request);
    } catch (error) {
      if (!isAway(error)) throw error;
      return this.parts.desk.check(request, error);
    }
  }

  /** What was reserved in the ledger and cannot be committed there is admitted by the bank once more. */
  async commit(asked: CommitRequest): Promise<CommitReply> {
    const request = this.renewed(asked);
    const { tenant, id, key, generation } = request;
    const slash = OutageBudget.owns(generation) ? -1 : generation.indexOf('/');
    if (slash === -1) return this.parts.desk.commit(request);
    const place = key === undefined ? this.unsure.get(id) : undefined;
    if (place === 'bank') return this.commitAtDesk(request, slash);
    try {
      const reply = await this.commitWithinGrant(request);
      if (reply.outcome !== 'bounced') return reply;
      const { life } = await this.parts.grants.ledgerStanding(tenant);
      // Released before, or the tenant's end: not the end of what the ledger knew.
      if (life === generation.slice(0, slash)) return reply;
    } catch (error) {
      if (!isAway(error)) throw error;
      if (key === undefined && (place === 'ledger' || error.applied === 'unknown')) {
        this.unsure.set(id, 'ledger');
        throw error;
      }
    }
    return this.commitAtDesk(request, slash);
  }

  release(tenant: string, id: string): Promise<ReleaseReply> {
    return this.parts.returns.release(tenant, id);
  }

  remove(request: RemoveRequest): Promise<RemoveReply> {
    return this.parts.returns.remove(request);
  }

  refund(request: RefundRequest): Promise<RefundReply> {
    return this.parts.returns.refund(request);
  }

  async read(tenant: string): Promise<Usage> {
    const { ledger, desk } = this.parts;
    try {
      const usage = await ledger.read(tenant);
      desk.note(tenant, usage);
      return usage;
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      return desk.read(tenant);
    }
  }

  async sweep(tenant: string, max: number): Promise<SweepReply> {
    const { ledger, bankLedger } = this.parts;
    const [one, other] = await bothTry(ledger.sweep(tenant, max), bankLedger.sweep(tenant, max));
    return {
      expiredEntries: (one?.expiredEntries ?? 0) + (other?.expiredEntries ?? 0),
      expiredReservations: (one?.expiredReservations ?? 0) + (other?.expiredReservations ?? 0),
      freedBytes: (one?.freedBytes ?? 0) + (other?.freedBytes ?? 0),
      more: (one?.more ?? false) || (other?.more ?? false),
      lapsed: (one?.lapsed ?? false) || (other?.lapsed ?? false),
      unsettled: (one?.unsettled ?? 0) + (other?.unsettled ?? 0),
    };
  }

  /** First the ledger's, then the bank's; where one is away, those of the other. */
  lapsed(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ holds: LapsedHold[]; next: string | null }> {
    const { ledger, bankLedger } = this.parts;
    return oneAfterTheOther(
      cursor,
      (own) => ledger.lapsed(tenant, own, limit),
      (own) => bankLedger.lapsed(tenant, own, limit),
      { holds: [] },
    );
  }

  /** Each of them knows its own. */
  async letGo(tenant: string, ids: readonly string[]): Promise<number> {
    const { ledger, bankLedger } = this.parts;
    const [one, other] = await bothTry(ledger.letGo(tenant, ids), bankLedger.letGo(tenant, ids));
    return (one ?? 0) + (other ?? 0);
  }

  /** Whichever of them it was: the tenant is one, and so is what was looked at. */
  async settled(tenant: string, count: number): Promise<number> {
    const { ledger, bankLedger } = this.parts;
    const lowered = await ledger.settled(tenant, count);
    return lowered < count
      ? lowered + (await bankLedger.settled(tenant, count - lowered))
      : lowered;
  }

  /** In the bank first, so that no life of the tenant is granted anything while the ledger has the old one. */
  async drop(tenant: string): Promise<void> {
    const { bankLedger, bank, keeper } = this.parts;
    await bankLedger.drop(tenant);
    const account = await bank.standing(tenant);
    if (account?.dropping !== true) return;
    await this.parts.returns.giveBack(
      `drop:${tenant}`,
      () => keeper.finishDrop(tenant, account.generation),
      () => undefined,
    );
  }

  /** What is found is so, whatever was granted: the bank is told. */
  async recount(tenant: string): Promise<{ driftBytes: number; usage: Usage }> {
    const { ledger, keeper } = this.parts;
    const report = await ledger.recount(tenant);
    await keeper.admitFact(tenant, usedBytes(report.usage));
    return report;
  }

  entries(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ entries: KeyView[]; next: string | null }> {
    return this.parts.ledger.entries(tenant, cursor, limit);
  }

  lookup(tenant: string, keys: readonly string[]): Promise<KeyView[]> {
    return this.parts.ledger.lookup(tenant, keys);
  }

  correct(
    tenant: string,
    corrections: readonly EntryCorrection[],
  ): Promise<{ applied: number; deltaBytes: number }> {
    return this.parts.ledger.correct(tenant, corrections);
  }

  tenants(cursor: string | null, limit: number): Promise<TenantPage> {
    return this.parts.ledger.tenants(cursor, limit);
  }

  /** First the ledger's, then the bank's. */
  override due(cursor: string | null, limit: number): Promise<TenantPage> {
    const { ledger, bankLedger } = this.parts;
    return oneAfterTheOther(
      cursor,
      (own) => ledger.due(own, limit),
      (own) => bankLedger.due(own, limit),
      { tenants: [] },
    );
  }

  override async accept(tenant: string): Promise<void> {
    await this.parts.keeper.accept(tenant);
  }

  /** What the bank itself holds it has not lost. */
  override async holdAnew(request: ReserveRequest, generation: string): Promise<void> {
    const { server } = this.parts;
    const slash = generation.indexOf('/');
    if (slash === -1 || OutageBudget.owns(generation)) return;
    let reply = await server.reserve(request);
    if (reply.outcome === 'stale') reply = await server.reserve({ ...request, stamp: reply.stamp });
    if (reply.outcome !== 'reserved') return;
    const [life] = reply.generation.split('/');
    this.lives.set(request.id, `${life}${generation.slice(slash)}`);
  }

  /** Operations that wait for a store to come back. */
  get waiting(): number {
    return this.parts.returns.waiting;
  }

  /**
   * Sends what had to wait, and looks again at keys that a write was on its way to, as far as the stores
   * are there.
   *
   * @returns the errors of what had to be given up
   */
  async settle(): Promise<unknown[]> {
    const hopeless = await this.parts.returns.send();
    await this.parts.budget.settle((commit) => this.chargeStored(commit));
    return [...hopeless, ...((await this.parts.truth?.again()) ?? [])];
  }

  private renewed(request: CommitRequest): CommitRequest {
    const generation = this.lives.get(request.id);
    return generation === undefined ? request : { ...request, generation };
  }

  /** @param attempt `over`: somebody else decides by now, and nothing more is asked here */
  private async withinGrant(
    request: ReserveRequest,
    attempt: { readonly over: boolean },
  ): Promise<ReserveReply> {
    const { ledger } = this.parts;
    const { tenant } = request;
    let last: QuotaUnavailableError | undefined;
    for (let round = 0; round < MOST_ROUNDS && !attempt.over; round += 1) {
      try {
        const reply = await this.asked(request, () => ledger.reserve(request));
        if (reply === null) continue;
        this.makeKnown(request, reply);
        return this.noted(tenant, reply);
      } catch (error) {
        if (!(error instanceof GrantShortError)) throw error;
        last = error;
        await this.widen(request, error);
      }
    }
    throw last ?? new QuotaUnavailableError('reserve', { applied: 'no', contact: 'answered' });
  }

  private async forecast(request: Omit<ReserveRequest, 'id' | 'holdMs'>): Promise<ReserveReply> {
    const { ledger } = this.parts;
    for (let round = 0; round < MOST_ROUNDS; round += 1) {
      const reply = await this.asked(request, () => ledger.check(request));
      if (reply !== null) return this.noted(request.tenant, reply);
    }
    throw new UndecidedError('check', new Error('The journal changed with every look at it.'));
  }

  /** What the ledger says; null: it refuses, and may not do so when it is asked again. */
  private async asked<T extends ReserveReply>(
    { tenant, bytes, limits }: Pick<ReserveRequest, 'tenant' | 'bytes' | 'limits'>,
    ask: () => Promise<T>,
  ): Promise<T | null> {
    const journal = this.journals.get(tenant);
    const reply = await ask();
    const final = reply.outcome !== 'rejected' || bytes > limits.hardBytes;
    return !final && (await this.mayBeFreed(tenant, journal)) ? null : reply;
  }

  /**
   * In shadow mode a ledger holds bytes though nothing was granted. The bank would take the tenant for
   * its own, and journal no removal for the ledger; nor would a ledger that lost its data be missed.
   * The write does not wait for it, and the next one asks again if it fails.
   */
  private makeKnown({ tenant, bytes, limits }: ReserveRequest, reply: ReserveReply): void {
    const unknown = reply.outcome === 'reserved' && reply.generation.endsWith('/');
    if (!unknown || bytes === 0) return;
    const short = { wantBytes: Math.max(usedBytes(reply.usage), reply.usedAfterBytes), seen: 0 };
    this.parts.keeper.widen(tenant, short, bytes, limits.hardBytes).catch(() => undefined);
  }

  /**
   * True: something that others have deleted meanwhile was in the journal, and may be gone now. Not so
   * where no batch has begun since before the refusal: then the ledger knew of all that was.
   *
   * @param before what {@link journals} had of the tenant before the ledger was asked
   * @throws UndecidedError: nobody can say, so that a refusal may be a false one
   */
  private async mayBeFreed(tenant: string, before: string | undefined): Promise<boolean> {
    const { desk, keeper } = this.parts;
    try {
      const account = await desk.account(tenant);
      if (account === null) return false;
      const freed = account.pending && (await keeper.fold(tenant));
      const journal = `${account.generation}/${account.batches}/${account.pending}`;
      this.journals.set(tenant, journal);
      return freed || journal !== before;
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      throw new UndecidedError('reserve', error);
    }
  }

  private async commitWithinGrant(request: CommitRequest): Promise<CommitReply> {
    const { ledger } = this.parts;
    for (let round = 0; ; round += 1) {
      try {
        return await ledger.commit(request);
      } catch (error) {
        if (!(error instanceof GrantShortError) || round === MOST_ROUNDS) throw error;
        await this.widen(request, error);
      }
    }
  }

  /** @throws QuotaUnavailableError that says of the ledger what is so: it has answered. */
  private async widen(
    { tenant, bytes, limits }: Pick<CommitRequest, 'tenant' | 'bytes' | 'limits'>,
    short: GrantShortError,
  ): Promise<void> {
    try {
      await this.parts.keeper.widen(tenant, short, bytes, limits.hardBytes);
    } catch (cause) {
      if (!(cause instanceof QuotaUnavailableError)) throw cause;
      throw new QuotaUnavailableError('grant', { applied: 'no', contact: 'answered', cause });
    }
  }

  /**
   * It is stored already: whatever the limit says, it counts. Not by the budget that it came from. A
   * later write of the key may have been counted before it, which only the storage can tell.
   */
  private async chargeStored(request: CommitRequest): Promise<void> {
    const account = {
      reserve: async (write: ReserveRequest): Promise<ReserveReply> => {
        const reply = await this.reserve(write);
        if (reply.outcome === 'reserved' && OutageBudget.owns(reply.generation)) throw stillAway();
        return reply;
      },
      commit: (commit: CommitRequest) => this.commit(commit),
    };
    await charge(account, { ...request, enforce: false });
    const { tenant, key } = request;
    if (key !== undefined) await this.parts.truth?.verify(tenant, [key]);
  }

  private async commitAtDesk(request: CommitRequest, slash: number): Promise<CommitReply> {
    const { tenant, id, key, generation } = request;
    try {
      const own = { ...request, generation: generation.slice(slash + 1) };
      const reply = await this.parts.desk.commit(own);
      this.parts.returns.releaseLater(tenant, id);
      return reply;
    } catch (error) {
      const unknown = error instanceof QuotaUnavailableError && error.applied === 'unknown';
      if (key === undefined && unknown) this.unsure.set(id, 'bank');
      throw error;
    }
  }

  private noted<T extends ReserveReply>(tenant: string, reply: T): T {
    if (reply.outcome !== 'stale') this.parts.desk.note(tenant, reply.usage);
    return reply;
  }
}

/** The ledger has not decided, and what it said is no reason why nobody should. */
function isAway(error: unknown): error is QuotaUnavailableError {
  return error instanceof QuotaUnavailableError && !(error instanceof UndecidedError);
}

function stillAway(): QuotaUnavailableError {
  return new QuotaUnavailableError('charge', { applied: 'no', contact: 'answered' });
}

/** What the cursors of the bank's own pages begin with. */
const BANK = 'bank/';

/** The pages of the ledger, then those of the bank's. A ledger that is away has none. */
async function oneAfterTheOther<T extends { next: string | null }>(
  cursor: string | null,
  ledger: (cursor: string | null) => Promise<T>,
  bankLedger: (cursor: string | null) => Promise<T>,
  nothing: Omit<T, 'next'>,
): Promise<Omit<T, 'next'> & { next: string | null }> {
  if (cursor?.startsWith(BANK) === true) {
    const page = await bankLedger(cursor.slice(BANK.length) || null);
    return { ...page, next: page.next === null ? null : BANK + page.next };
  }
  try {
    const page = await ledger(cursor);
    return { ...page, next: page.next ?? BANK };
  } catch (error) {
    if (!(error instanceof QuotaUnavailableError)) throw error;
    return { ...nothing, next: BANK };
  }
}

/** @throws what the first one threw, when both failed. */
async function bothTry<T>(one: Promise<T>, other: Promise<T>): Promise<[T | null, T | null]> {
  const [first, second] = await Promise.allSettled([one, other]);
  if (first.status === 'rejected' && second.status === 'rejected') throw first.reason;
  return [
    first.status === 'fulfilled' ? first.value : null,
    second.status === 'fulfilled' ? second.value : null,
  ];
}
