import type { BankedTracker } from './banked-tracker';
import type { QuotaBank } from './bank';
import { errorEvent } from './error-event';
import type { GrantKeeper } from './grant-keeper';
import type { UpkeepLease } from './lease';
import type { QuotaObserver } from './observer';
import { Rounds, type RoundResult } from './rounds';

/** ms between two looks at the journal, at most; one cheap query each. */
const LOOK_MS = 1_000;
const LEASE_MS = 5_000;
const PAGE = 200;
/** Tenants at once: after an outage the stores have requests to serve as well. */
const AT_ONCE = 4;

export interface BankUpkeepParts {
  readonly tracker: BankedTracker;
  readonly keeper: GrantKeeper;
  readonly bank: QuotaBank;
  readonly lease: UpkeepLease;
  readonly observer: QuotaObserver;
  /** The ledger can be asked, as far as is known. */
  readonly reachable: () => boolean;
}

/**
 * Brings what was admitted and given back without the ledger into it, as soon as it is there again.
 * Any instance may do it for all, one at a time by a lease; two at once do no harm.
 */
export class BankUpkeep {
  private readonly rounds: Rounds;
  private stopped = false;

  constructor(private readonly parts: BankUpkeepParts) {
    const { observer } = parts;
    this.rounds = new Rounds(
      LOOK_MS,
      () => this.round(),
      (error) => observer.emit('error', errorEvent('fold', error)),
    );
  }

  start(): void {
    this.rounds.start();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.rounds.stop();
  }

  /** One look, and what follows from it. */
  async round(): Promise<RoundResult> {
    const { tracker, lease, reachable } = this.parts;
    if (!reachable()) return 'done';
    await tracker.settle();
    const held = await lease.take('fold', LEASE_MS);
    if (held === null) return 'elsewhere';
    try {
      let after: string | null = null;
      do {
        const tenants: string[] = await this.parts.bank.pending(after, PAGE);
        await this.settleAll(tenants);
        after = tenants.length === PAGE ? (tenants.at(-1) ?? null) : null;
      } while (after !== null && !this.stopped && (await held.keep(LEASE_MS)));
    } finally {
      await held.release().catch(() => undefined);
    }
    return 'done';
  }

  private async settleAll(tenants: readonly string[]): Promise<void> {
    const queue = tenants.values();
    const lane = async (): Promise<void> => {
      for (const tenant of queue) {
        if (this.stopped || !this.parts.reachable()) return;
        await this.settleQuietly(tenant);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
  }

  /** One tenant's trouble is told of, and stays with it. */
  private async settleQuietly(tenant: string): Promise<void> {
    try {
      await this.parts.keeper.settle(tenant);
    } catch (error) {
      this.parts.observer.emit('error', errorEvent('fold', error, tenant));
    }
  }
}
