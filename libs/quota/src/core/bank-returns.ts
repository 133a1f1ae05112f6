import type { BankDesk } from './bank-desk';
import { soon } from './budget';
import { Deferred } from './deferred';
import { QuotaUnavailableError } from './errors';
import type { OutageBudget } from './outage-budget';
import type { StoredTruth } from './stored-truth';
import type {
  RefundReply,
  RefundRequest,
  ReleaseReply,
  RemoveReply,
  RemoveRequest,
  Usage,
  UsageTracker,
} from './usage-tracker';

export interface BankReturnsParts {
  readonly ledger: UsageTracker;
  readonly bankLedger: UsageTracker;
  readonly desk: BankDesk;
  readonly budget: OutageBudget;
  /** What is really stored; absent: nobody can say. */
  readonly truth?: Pick<StoredTruth, 'verify'>;
}

/** The ledger's marks live 10 s: what is sent again after that could count twice. */
const REPEATABLE_MS = 8_000;

/** What a caller waits for one store; after both it waits in this process, and the caller has its answer. */
const GIVE_BACK_MS = 120;

/** The way back of bytes, in whichever of two ledgers they are. Never refused by an outage. */
export class BankReturns {
  /** What could not be given back at once; see {@link send}. */
  private readonly deferred = new Deferred();

  constructor(private readonly parts: BankReturnsParts) {}

  /** Operations that wait for a store to come back. */
  get waiting(): number {
    return this.deferred.size;
  }

  /** See {@link Deferred.send}. */
  send(): Promise<unknown[]> {
    return this.deferred.send();
  }

  async release(tenant: string, id: string): Promise<ReleaseReply> {
    const { ledger, bankLedger, desk, budget } = this.parts;
    const released = (): ReleaseReply => ({ outcome: 'released', usage: desk.guess(tenant) });
    if (budget.release(id)) return released();
    const holder = desk.holds(id) ? bankLedger : ledger;
    return this.giveBack(
      id,
      () => soon('release', GIVE_BACK_MS, holder.release(tenant, id)),
      released,
    );
  }

  /** One that had to wait may come after a later write of its key, which only the storage can tell. */
  async remove(request: RemoveRequest): Promise<RemoveReply> {
    const { desk, truth } = this.parts;
    const { tenant, id, key } = request;
    let waited = false;
    const send = async (): Promise<RemoveReply> => {
      const reply = await this.removeAnywhere(request);
      if (waited) await truth?.verify(tenant, [key]);
      return reply;
    };
    return this.giveBack(id, send, () => {
      waited = true;
      return { removed: false, freedBytes: 0, usage: desk.guess(tenant) };
    });
  }

  /** One that the ledger may have taken goes to nobody else: given back twice, bytes are admitted twice. */
  async refund(request: RefundRequest): Promise<RefundReply> {
    const { ledger, bankLedger } = this.parts;
    const sent = performance.now();
    let unsure = false;
    const send = async (): Promise<RefundReply | null> => {
      if (unsure && performance.now() - sent > REPEATABLE_MS) return null;
      try {
        return await soon('refund', GIVE_BACK_MS, ledger.refund(request));
      } catch (error) {
        if (!(error instanceof QuotaUnavailableError)) throw error;
        unsure ||= error.applied === 'unknown';
        if (unsure) throw error;
        return await soon('refund', GIVE_BACK_MS, bankLedger.refund(request));
      }
    };
    const usage = (): Usage => this.parts.desk.guess(request.tenant);
    const reply = await this.giveBack(request.id, send, () => null);
    return reply ?? { freedBytes: 0, underflowBytes: 0, usage: usage() };
  }

  /** A hold of the ledger's that nobody will settle; it need not wait for its deadline. */
  releaseLater(tenant: string, id: string): void {
    this.deferred.add(id, () => this.parts.ledger.release(tenant, id));
  }

  /** What finds no store waits until one is there. */
  async giveBack<T>(id: string, send: () => Promise<T>, meanwhile: () => T): Promise<T> {
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      this.deferred.add(id, send);
      return meanwhile();
    }
  }

  /** A removal names its key and version: done in both, it is done once. */
  private async removeAnywhere(request: RemoveRequest): Promise<RemoveReply> {
    const { ledger, bankLedger } = this.parts;
    try {
      return await soon('remove', GIVE_BACK_MS, ledger.remove(request));
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      return soon('remove', GIVE_BACK_MS, bankLedger.remove(request));
    }
  }
}
