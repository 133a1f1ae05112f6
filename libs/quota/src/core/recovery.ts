import { setTimeout as pause } from 'node:timers/promises';
import { errorEvent } from './error-event';
import type { HeldLease, UpkeepLease } from './lease';
import type { QuotaObserver } from './observer';
import type { QuotaPage, QuotaStore } from './quota-store';
import type { Reconciler } from './reconciler';
import { usedBytes, type TenantPage, type UsageTracker } from './usage-tracker';

/** Kept from tenant to tenant; a killed holder's ends by itself, and another instance takes over. */
const LEASE_MS = 10_000;
/** Between two looks whether somebody else is done with it. */
const LOOK_MS = 1_000;
/** So long it is remembered that it was done: longer than any instance waits to hear of it. */
const DONE_MS = 86_400_000;
const PAGE = 500;
/** Tenants at once: requests need the stores too. */
const AT_ONCE = 4;
/** Tenants that failed are tried again so often; then it is left to the periodic reconciliation. */
const MOST_TRIES = 100;

export interface RecoveryParts {
  readonly tracker: UsageTracker;
  readonly store: QuotaStore;
  readonly reconciler: Reconciler;
  readonly lease: UpkeepLease;
  readonly observer: QuotaObserver;
}

/**
 * Puts the ledger right after its server was replaced by one that may lack the latest writes: every
 * tenant is reconciled, once over all instances.
 */
export class Recovery {
  private readonly ended = new AbortController();
  private readonly running = new Set<Promise<boolean>>();

  constructor(private readonly parts: RecoveryParts) {}

  /**
   * Goes on until it is done, by whomever: one instance is at it, the others wait for it or take over.
   *
   * @param server names this term of the server
   * @returns true: done by this instance
   */
  recover(server: string): Promise<boolean> {
    const done = this.pursue(server).finally(() => this.running.delete(done));
    this.running.add(done);
    return done;
  }

  /** Resolves when what is under way has ended, which is soon. */
  async stop(): Promise<void> {
    this.ended.abort();
    await Promise.all(this.running);
  }

  private async pursue(server: string): Promise<boolean> {
    while (!this.stopped) {
      try {
        const outcome = await this.attempt(server);
        if (outcome !== 'again') return outcome === 'done';
      } catch (error) {
        this.tell(error);
      }
      await this.rest(LOOK_MS);
    }
    return false;
  }

  /** The mark that it is done is looked at and made by the holder of the lease alone. */
  private async attempt(server: string): Promise<'done' | 'before' | 'again'> {
    const { lease } = this.parts;
    const [name, done] = [`recover:${server}`, `recovered:${server}`];
    const held = await lease.take(name, LEASE_MS);
    if (held === null) return 'again';
    try {
      const mark = await lease.take(done, 1);
      if (mark === null) return 'before';
      await mark.release();
      if (!(await this.reconcileAll(held))) return 'again';
      await lease.take(done, DONE_MS);
      return 'done';
    } finally {
      await held.release().catch(() => undefined);
    }
  }

  /** False: stopped, or somebody else has the lease. */
  private async reconcileAll(held: HeldLease): Promise<boolean> {
    const { tracker } = this.parts;
    let failed: string[] = [];
    const visit = async (tenants: readonly string[]): Promise<boolean> => {
      failed.push(...(await this.reconcileEach(tenants, held)));
      return !this.stopped && (await held.keep(LEASE_MS));
    };
    let cursor: string | null = null;
    do {
      const { tenants, next }: TenantPage = await tracker.tenants(cursor, PAGE);
      if (!(await visit(tenants))) return false;
      cursor = next;
    } while (cursor !== null);
    let after: string | undefined;
    do {
      const page: QuotaPage = await this.parts.store.list({
        ...(after !== undefined && { after }),
        limit: PAGE,
      });
      const names = page.rows.map(({ tenant }) => tenant);
      if (!(await visit(await this.unknown(names)))) return false;
      after = page.next ?? undefined;
    } while (after !== undefined);
    for (let tries = 0; failed.length > 0 && tries < MOST_TRIES; tries += 1) {
      await this.rest(LOOK_MS);
      const again = failed;
      failed = [];
      if (!(await visit(again))) return false;
    }
    return true;
  }

  /** Those whose first writes may be among the lost ones: the walk over the ledger did not meet them. */
  private async unknown(tenants: readonly string[]): Promise<string[]> {
    const empty: string[] = [];
    for (const tenant of tenants) {
      const usage = await this.parts.tracker.read(tenant).catch(() => null);
      if (usage === null || usedBytes(usage) === 0) empty.push(tenant);
    }
    return empty;
  }

  /** One tenant's trouble is told of, and stays with it. Returns those that had some. */
  private async reconcileEach(tenants: readonly string[], held: HeldLease): Promise<string[]> {
    const failed: string[] = [];
    const queue = tenants.values();
    const lane = async (): Promise<void> => {
      for (const tenant of queue) {
        if (this.stopped) return;
        try {
          await this.parts.reconciler.reconcile(tenant);
        } catch (error) {
          failed.push(tenant);
          this.tell(error, tenant);
        }
        await held.keep(LEASE_MS);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    return failed;
  }

  private get stopped(): boolean {
    return this.ended.signal.aborted;
  }

  private async rest(ms: number): Promise<void> {
    const { signal } = this.ended;
    await pause(ms, undefined, { signal, ref: false }).catch(() => undefined);
  }

  private tell(error: unknown, tenant?: string): void {
    this.parts.observer.emit('error', errorEvent('recover', error, tenant));
  }
}
