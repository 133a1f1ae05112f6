import type { BankedTracker } from './banked-tracker';
import type { GrantedTenant, QuotaBank } from './bank';
import { errorEvent } from './error-event';
import type { GrantKeeper } from './grant-keeper';
import type { UpkeepLease } from './lease';
import type { QuotaObserver } from './observer';
import { Rounds, type RoundResult } from './rounds';

/** ms between two looks at the journal, at most; one cheap query each. */
const LOOK_MS = 1_000;
/** ms between two looks for grants that nobody uses, over all instances. */
const LOWER_MS = 60_000;
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
  private readonly lowering: Rounds;
  private stopped = false;

  constructor(private readonly parts: BankUpkeepParts) {
    const { observer } = parts;
    this.rounds = new Rounds(
      LOOK_MS,
      () => this.round(),
      (error) => observer.emit('error', errorEvent('fold', error)),
    );
    this.lowering = new Rounds(
      LOWER_MS,
      () => this.lower(),
      (error) => observer.emit('error', errorEvent('grant-lower', error)),
    );
  }

  start(): void {
    this.rounds.start();
    this.lowering.start();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all([this.rounds.stop(), this.lowering.stop()]);
  }

  /** One look, and what follows from it. */
  async round(): Promise<RoundResult> {
    const { lease, reachable } = this.parts;
    if (!reachable()) return 'done';
    await this.settle();
    const held = await lease.take('fold', LEASE_MS);
    if (held === null) return 'elsewhere';
    try {
      let after: string | null = null;
      do {
        const tenants: string[] = await this.parts.bank.pending(after, PAGE);
        await this.eachOf(
          tenants.map((tenant) => ({ tenant })),
          'fold',
          ({ tenant }) => this.parts.keeper.settle(tenant),
        );
        after = tenants.length === PAGE ? (tenants.at(-1) ?? null) : null;
      } while (after !== null && !this.stopped && (await held.keep(LEASE_MS)));
    } finally {
      await held.release().catch(() => undefined);
    }
    return 'done';
  }

  /** What is told and tried again must not keep the journal from its return. */
  private async settle(): Promise<void> {
    const { tracker, observer } = this.parts;
    const errors = await tracker.settle().catch((error: unknown) => [error]);
    for (const error of errors) observer.emit('error', errorEvent('settle', error));
  }

  /** Gives back what is granted and not used, so that there is something to decide with in an outage. */
  async lower(): Promise<RoundResult> {
    const { bank, keeper, lease, reachable } = this.parts;
    if (!reachable()) return 'done';
    const held = await lease.take('grants', LEASE_MS);
    if (held === null) return 'elsewhere';
    let after: string | null = null;
    do {
      const found: GrantedTenant[] = await bank.lowerable(after, PAGE);
      await this.eachOf(found, 'grant-lower', (granted) => keeper.lower(granted));
      after = found.length === PAGE ? (found.at(-1)?.tenant ?? null) : null;
    } while (after !== null && !this.stopped && (await held.keep(LEASE_MS)));
    await (this.stopped ? held.release() : held.keep(LOWER_MS / 2));
    return 'done';
  }

  /** One tenant's trouble is told of, and stays with it. */
  private async eachOf<T extends { readonly tenant: string }>(
    items: readonly T[],
    operation: string,
    work: (item: T) => Promise<void>,
  ): Promise<void> {
    const queue = items.values();
    const lane = async (): Promise<void> => {
      for (const item of queue) {
        if (this.stopped || !this.parts.reachable()) return;
        try {
          await work(item);
        } catch (error) {
          this.parts.observer.emit('error', errorEvent(operation, error, item.tenant));
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
  }
}
