import { LRUCache } from 'lru-cache';
import { GrantShortError, type GrantedLedger, type QuotaBank } from './bank';
import type { BankDesk } from './bank-desk';
import { charge } from './charge';
import { Budget } from './budget';
import { Deferred } from './deferred';
import { QuotaUnavailableError } from './errors';
import type { GrantKeeper } from './grant-keeper';
import { OutageBudget } from './outage-budget';
import {
  UsageTracker,
  usedBytes,
  type CommitReply,
  type CommitRequest,
  type EntryCorrection,
  type KeyView,
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
  readonly grants: GrantedLedger;
  /** The bank's own ledger, which admits what is not granted. */
  readonly bankLedger: UsageTracker;
  readonly bank: QuotaBank;
  readonly keeper: GrantKeeper;
  readonly desk: BankDesk;
  readonly budget: OutageBudget;
}

/** A write may need a larger grant, and lose it to others, so often. */
const MOST_ROUNDS = 8;
const UNSURE_REMEMBERED = 100_000;
/** The ledger's marks live 10 s: what is sent again after that could count twice. */
const REPEATABLE_MS = 8_000;

/**
 * All that a request waits for one store, in however many steps, before the other one takes over: a slot
 * that is being moved takes longer, and what a request may take in all (core/budget.ts) is for both.
 */
const STORE_MS = 200;
/** The same for what gives bytes back: after both it waits in this process, and the caller has its answer. */
const GIVE_BACK_MS = 120;

/**
 * Two ledgers under one limit. The first decides within what the bank has granted it; an instance that
 * cannot reach it decides in the bank's own, within what was not granted; and with both away a fixed
 * budget decides, or nobody. What is admitted anywhere comes together again in the first.
 */
export class BankedTracker extends UsageTracker {
  /** Gives back what could not be given back at once; see {@link settle}. */
  private readonly deferred = new Deferred();
  /**
   * Commits without a key of which one store has not said what became of them. Nothing tells two such
   * charges from one, so they are cleared up where they arose.
   */
  private readonly unsure = new LRUCache<string, 'ledger' | 'bank'>({ max: UNSURE_REMEMBERED });

  constructor(private readonly parts: BankedTrackerParts) {
    super();
  }

  get store(): string {
    return this.parts.ledger.store;
  }

  /** Operations that wait for a store to come back. */
  get waiting(): number {
    return this.deferred.size;
  }

  async reserve(request: ReserveRequest): Promise<ReserveReply> {
    const { tenant, id } = request;
    try {
      return await soon('reserve', this.withinGrant(request));
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError) || error instanceof JournalError) throw error;
      // It may hold the bytes all the same; so they need not wait for the deadline.
      if (error.applied === 'unknown') this.releaseLater(tenant, id);
      return this.parts.desk.reserve(request, error);
    }
  }

  async check(request: Omit<ReserveRequest, 'id' | 'holdMs'>): Promise<ReserveReply> {
    try {
      return this.noted(request.tenant, await this.parts.ledger.check(request));
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      return this.parts.desk.check(request, error);
    }
  }

  /** What was reserved in the ledger and cannot be committed there is admitted by the bank once more. */
  async commit(request: CommitRequest): Promise<CommitReply> {
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
      if (!(error instanceof QuotaUnavailableError)) throw error;
      if (key === undefined && (place === 'ledger' || error.applied === 'unknown')) {
        this.unsure.set(id, 'ledger');
        throw error;
      }
    }
    return this.commitAtDesk(request, slash);
  }

  async release(tenant: string, id: string): Promise<ReleaseReply> {
    const { ledger, bankLedger, desk, budget } = this.parts;
    const released = (): ReleaseReply => ({ outcome: 'released', usage: desk.guess(tenant) });
    if (budget.release(id)) return released();
    const holder = desk.holds(id) ? bankLedger : ledger;
    return this.giveBack(
      id,
      () => soon('release', holder.release(tenant, id), GIVE_BACK_MS),
      released,
    );
  }

  async remove(request: RemoveRequest): Promise<RemoveReply> {
    return this.giveBack(
      request.id,
      () => this.removeAnywhere(request),
      () => ({ removed: false, freedBytes: 0, usage: this.parts.desk.guess(request.tenant) }),
    );
  }

  /** One that the ledger may have taken goes to nobody else: given back twice, bytes are admitted twice. */
  async refund(request: RefundRequest): Promise<RefundReply> {
    const { ledger, bankLedger } = this.parts;
    const sent = performance.now();
    let unsure = false;
    const send = async (): Promise<RefundReply | null> => {
      if (unsure && performance.now() - sent > REPEATABLE_MS) return null;
      try {
        return await soon('refund', ledger.refund(request), GIVE_BACK_MS);
      } catch (error) {
        if (!(error instanceof QuotaUnavailableError)) throw error;
        unsure ||= error.applied === 'unknown';
        if (unsure) throw error;
        return await soon('refund', bankLedger.refund(request), GIVE_BACK_MS);
      }
    };
    const usage = (): Usage => this.parts.desk.guess(request.tenant);
    const reply = await this.giveBack(request.id, send, () => null);
    return reply ?? { freedBytes: 0, underflowBytes: 0, usage: usage() };
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
      unsettled: (one?.unsettled ?? 0) + (other?.unsettled ?? 0),
    };
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
    await this.giveBack(
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
  override async due(cursor: string | null, limit: number): Promise<TenantPage> {
    const { ledger, bankLedger } = this.parts;
    if (cursor?.startsWith(BANK) === true)
      return prefixed(await bankLedger.due(cursor.slice(BANK.length) || null, limit));
    try {
      const page = await ledger.due(cursor, limit);
      return { ...page, next: page.next ?? BANK };
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      return { tenants: [], next: BANK };
    }
  }

  override async accept(tenant: string): Promise<void> {
    await this.parts.keeper.accept(tenant);
  }

  /** Sends what had to wait, as far as the stores are there. */
  async settle(): Promise<void> {
    await this.deferred.send();
    await this.parts.budget.settle((commit) => this.chargeStored(commit));
  }

  private async withinGrant(request: ReserveRequest): Promise<ReserveReply> {
    const { ledger, keeper } = this.parts;
    const { tenant, bytes, limits } = request;
    let last: QuotaUnavailableError | undefined;
    for (let round = 0; round < MOST_ROUNDS; round += 1) {
      try {
        const reply = await ledger.reserve(request);
        const final = reply.outcome !== 'rejected' || bytes > limits.hardBytes;
        if (!final && (await this.mayBeFreed(tenant))) continue;
        return this.noted(tenant, reply);
      } catch (error) {
        if (!(error instanceof GrantShortError)) throw error;
        last = error;
        await keeper.widen(tenant, error, bytes, limits.hardBytes);
      }
    }
    throw last ?? new QuotaUnavailableError('reserve', { applied: 'no', contact: 'answered' });
  }

  /**
   * True: something that others have deleted meanwhile was found in the journal, and is gone now.
   *
   * @throws JournalError: nobody can say, so that a refusal may be a false one
   */
  private async mayBeFreed(tenant: string): Promise<boolean> {
    try {
      const account = await this.parts.desk.account(tenant);
      return account?.pending === true && (await this.parts.keeper.fold(tenant));
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      throw new JournalError('reserve', { applied: 'no', contact: 'answered', cause: error });
    }
  }

  private async commitWithinGrant(request: CommitRequest): Promise<CommitReply> {
    const { ledger, keeper } = this.parts;
    const { tenant, bytes, limits } = request;
    for (let round = 0; ; round += 1) {
      try {
        return await ledger.commit(request);
      } catch (error) {
        if (!(error instanceof GrantShortError) || round === MOST_ROUNDS) throw error;
        await keeper.widen(tenant, error, bytes, limits.hardBytes);
      }
    }
  }

  /** It is stored already: whatever the limit says, it counts. Not by the budget that it came from. */
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
  }

  private async commitAtDesk(request: CommitRequest, slash: number): Promise<CommitReply> {
    const { tenant, id, key, generation } = request;
    try {
      const own = { ...request, generation: generation.slice(slash + 1) };
      const reply = await this.parts.desk.commit(own);
      this.releaseLater(tenant, id);
      return reply;
    } catch (error) {
      const unknown = error instanceof QuotaUnavailableError && error.applied === 'unknown';
      if (key === undefined && unknown) this.unsure.set(id, 'bank');
      throw error;
    }
  }

  /** A removal names its key and version: done in both, it is done once. */
  private async removeAnywhere(request: RemoveRequest): Promise<RemoveReply> {
    const { ledger, bankLedger } = this.parts;
    try {
      return await soon('remove', ledger.remove(request), GIVE_BACK_MS);
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      return soon('remove', bankLedger.remove(request), GIVE_BACK_MS);
    }
  }

  /** Never refused by an outage: it waits until a store is there. */
  private async giveBack<T>(id: string, send: () => Promise<T>, meanwhile: () => T): Promise<T> {
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      this.deferred.add(id, send);
      return meanwhile();
    }
  }

  private releaseLater(tenant: string, id: string): void {
    this.deferred.add(id, () => this.parts.ledger.release(tenant, id));
  }

  private noted<T extends ReserveReply>(tenant: string, reply: T): T {
    if (reply.outcome !== 'stale') this.parts.desk.note(tenant, reply.usage);
    return reply;
  }
}

function stillAway(): QuotaUnavailableError {
  return new QuotaUnavailableError('charge', { applied: 'no', contact: 'answered' });
}

/** What is late goes on by itself, and may take effect. @throws QuotaUnavailableError */
function soon<T>(operation: string, work: Promise<T>, ms = STORE_MS): Promise<T> {
  return new Budget(ms).wait(operation, work);
}

/** The ledger has no room, but the journal may have some for it. The ledger has said so: no budget is for this. */
class JournalError extends QuotaUnavailableError {}

/** What the cursors of the bank's own pages begin with. */
const BANK = 'bank/';

function prefixed(page: TenantPage): TenantPage {
  return { ...page, next: page.next === null ? null : BANK + page.next };
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
