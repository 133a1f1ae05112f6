import { LRUCache } from 'lru-cache';
import type { BankStanding, QuotaBank } from './bank';
import { charge } from './charge';
import { decide } from './decision';
import { QuotaUnavailableError } from './errors';
import { FreshReads } from './fresh-reads';
import type { DegradedPolicy, QuotaObserver } from './observer';
import { OutageBudget } from './outage-budget';
import {
  usedBytes,
  type CommitReply,
  type CommitRequest,
  type ReserveReply,
  type ReserveRequest,
  type Usage,
  type UsageTracker,
} from './usage-tracker';

/** What was read of a tenant's account serves so many ms, where nothing is refused by it. */
const ACCOUNT_MS = 250;
const TENANTS_REMEMBERED = 10_000;
const HOLDS_REMEMBERED = 100_000;

/** {@link ReserveReply.source} of what nobody but this process has decided. */
export const BUDGET_SOURCE = 'budget';

type Settled = Exclude<ReserveReply, { outcome: 'stale' }>;
type Check = Omit<ReserveRequest, 'id' | 'holdMs'>;

export interface BankDeskParts {
  readonly bank: QuotaBank;
  /** The bank's own ledger, which admits what is not granted. */
  readonly bankLedger: UsageTracker;
  readonly budget: OutageBudget;
  readonly observer: QuotaObserver;
}

/**
 * Decides where the ledger cannot be asked: by the bank, within what is not granted, and where that
 * cannot be asked either by the budget of this instance.
 */
export class BankDesk {
  /** Ids that the bank's ledger holds for this process. */
  private readonly held = new LRUCache<string, true>({ max: HOLDS_REMEMBERED });
  private readonly lastUsed = new LRUCache<string, number>({ max: TENANTS_REMEMBERED });
  private readonly accounts: LRUCache<string, { account: BankStanding | null }>;
  private readonly present: FreshReads<BankStanding | null>;

  constructor(private readonly parts: BankDeskParts) {
    this.present = new FreshReads((tenant) => parts.bank.standing(tenant));
    const fetchMethod = async (tenant: string) => ({ account: await parts.bank.standing(tenant) });
    this.accounts = new LRUCache({ max: TENANTS_REMEMBERED, ttl: ACCOUNT_MS, fetchMethod });
  }

  async reserve(request: ReserveRequest, cause: QuotaUnavailableError): Promise<ReserveReply> {
    try {
      const reply = await this.parts.bankLedger.reserve(request);
      if (reply.outcome === 'stale') return reply;
      if (reply.outcome === 'reserved') this.held.set(request.id, true);
      const verdict = await this.verdict(request, reply, cause);
      this.tell(request, 'bank');
      return { ...verdict, source: this.parts.bankLedger.store };
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      return this.reserveFromBudget(request, cause, error);
    }
  }

  async check(request: Check, cause: QuotaUnavailableError): Promise<ReserveReply> {
    const reply = await this.parts.bankLedger.check(request);
    return reply.outcome === 'stale' ? reply : this.verdict(request, reply, cause);
  }

  async commit(request: CommitRequest): Promise<CommitReply> {
    const { tenant, bytes } = request;
    if (OutageBudget.owns(request.generation)) return this.commitToBudget(request);
    const { bankLedger } = this.parts;
    // Admitted by the ledger without a grant, as in shadow mode: the bank may not know the tenant.
    const unknown = request.generation === '';
    const reply = await (unknown ? charge(bankLedger, request) : bankLedger.commit(request));
    this.held.delete(request.id);
    if (reply.outcome === 'bounced') return reply;
    if (reply.outcome === 'refused' && (await this.mayHaveRoom(tenant))) throw undecided('commit');
    const rest = await this.rest(tenant).catch(() => null);
    if (reply.outcome === 'committed') this.tell({ tenant, bytes }, 'bank');
    // Done is done, though nobody can say how much there is beside it.
    const beside = rest ?? this.lastUsed.get(tenant) ?? 0;
    return { ...reply, usage: plus(reply.usage, beside) };
  }

  async read(tenant: string): Promise<Usage> {
    const usage = await this.parts.bankLedger.read(tenant);
    return plus(usage, await this.rest(tenant));
  }

  /** True: the bank's ledger holds it, as far as this process knows. */
  holds(id: string): boolean {
    return this.held.has(id);
  }

  /** As it is now, for a refusal by it. @throws QuotaUnavailableError */
  account(tenant: string): Promise<BankStanding | null> {
    return this.present.read(tenant);
  }

  /** Remembers what the ledger has said, for the time when it cannot be asked. */
  note(tenant: string, usage: Usage): void {
    this.lastUsed.set(tenant, usedBytes(usage));
  }

  /** What is known without asking anybody. */
  guess(tenant: string): Usage {
    const committedBytes = this.lastUsed.get(tenant) ?? 0;
    return { committedBytes, reservedBytes: 0, unmeteredBytes: 0 };
  }

  /**
   * The bank's own ledger knows a part of what is used; the rest is taken from what this process has
   * last heard of it, and from the grant otherwise. A refusal is one only where there is no such rest.
   */
  private async verdict(
    { tenant, bytes, limits, enforce }: Check,
    reply: Settled,
    cause: QuotaUnavailableError,
  ): Promise<Settled> {
    if (reply.outcome === 'rejected') {
      if (bytes > limits.hardBytes || !(await this.mayHaveRoom(tenant))) return reply;
      throw undecided('reserve', cause);
    }
    const rest = await this.rest(tenant);
    // Admitted within what was not granted: whatever is guessed of the rest, it fits the limit.
    const most = enforce ? limits.hardBytes : Infinity;
    const usedAfterBytes = Math.min(reply.usedAfterBytes + rest, most);
    const decision = decide(usedAfterBytes, true, limits);
    return { ...reply, decision, usedAfterBytes, usage: plus(reply.usage, rest) };
  }

  /** Only where neither was there: one that has answered that it has no room, or may have none, decides. */
  private reserveFromBudget(
    request: ReserveRequest,
    ofLedger: QuotaUnavailableError,
    ofBank: QuotaUnavailableError,
  ): ReserveReply {
    const away = isAway(ofLedger) && isAway(ofBank);
    const generation = away ? this.parts.budget.admit(request) : null;
    this.tell(request, generation === null ? 'deny' : 'allow');
    if (generation === null) throw ofBank;
    const usage = this.guess(request.tenant);
    const usedAfterBytes = usedBytes(usage) + request.bytes;
    const decision = decide(usedAfterBytes, false, request.limits);
    const source = BUDGET_SOURCE;
    return { outcome: 'reserved', decision, usedAfterBytes, usage, generation, source };
  }

  private commitToBudget(request: CommitRequest): CommitReply {
    if (!this.parts.budget.commit(request)) throw undecided('commit');
    const { ttlMs } = request;
    const expiring = ttlMs === undefined ? {} : { expiresAt: Date.now() + ttlMs };
    const usage = this.guess(request.tenant);
    return { outcome: 'committed', replaced: false, usage, ...expiring };
  }

  /** What the ledger holds beside the bank's own, as far as can be said without it. */
  private async rest(tenant: string): Promise<number> {
    const most = (await this.accounts.fetch(tenant))?.account?.grantedBytes ?? 0;
    return Math.min(most, this.lastUsed.get(tenant) ?? most);
  }

  /** Of what the ledger was granted a part may be free, or nobody can say. */
  private async mayHaveRoom(tenant: string): Promise<boolean> {
    try {
      return ((await this.account(tenant))?.grantedBytes ?? 0) > 0;
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      return true;
    }
  }

  private tell({ tenant, bytes }: { tenant: string; bytes: number }, policy: DegradedPolicy): void {
    this.parts.observer.emit('degraded', { tenant, bytes, policy });
  }
}

function isAway({ contact }: QuotaUnavailableError): boolean {
  return contact === 'silent' || contact === 'lost';
}

function undecided(operation: string, cause?: QuotaUnavailableError): QuotaUnavailableError {
  return new QuotaUnavailableError(operation, { applied: 'no', contact: 'answered', cause });
}

function plus(usage: Usage, bytes: number): Usage {
  return { ...usage, committedBytes: usage.committedBytes + bytes };
}
