import BTree from 'sorted-btree';
import type { TenantPage } from '../../core';
import { REAP_PER_TURN } from './admission';
import type { TenantLedger } from './tenant-ledger';

/** A tenant that nobody has asked about for so long is tidied up by the calls of others. */
const IDLE_MS = 60_000;

/**
 * An empty ledger this old is forgotten. Far longer than any reservation, since a late commit after
 * it bounces for the want of its generation.
 */
const FORGET_MS = 600_000;

/** Tidied in one visit; a small part of a turn, since every call pays for one. */
const REAP_PER_VISIT = REAP_PER_TURN / 20;

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * The ledgers by tenant. No timer and no list of the idle: every call visits one tenant more, in
 * turn, so that what expired under a tenant that never comes back doesn't stay for good.
 */
export class Tenants {
  private readonly ledgers = new Map<string, TenantLedger>();
  /** The same in the order of their names, for walks that go on after a name. */
  private readonly inOrder = new BTree<string, TenantLedger>(undefined, byText);
  private round = this.ledgers.entries();

  get size(): number {
    return this.ledgers.size;
  }

  find(tenant: string, now: number): TenantLedger | undefined {
    this.visitNext(now);
    const ledger = this.ledgers.get(tenant);
    if (ledger) ledger.lastUsed = now;
    return ledger;
  }

  /** Makes a ledger the tenant's. */
  keep(tenant: string, ledger: TenantLedger, now: number): void {
    ledger.lastUsed = now;
    this.ledgers.set(tenant, ledger);
    this.inOrder.set(tenant, ledger);
  }

  /** Looks at `limit` tenants after the cursor, and gives those that `wanted` takes. Visits nobody. */
  page(
    cursor: string | null,
    limit: number,
    wanted: (ledger: TenantLedger) => boolean,
  ): TenantPage {
    const tenants: string[] = [];
    let last: string | undefined = cursor ?? undefined;
    for (let left = limit; left > 0; left--) {
      const pair = this.inOrder.nextHigherPair(last);
      if (!pair) return { tenants, next: null };
      last = pair[0];
      if (wanted(pair[1])) tenants.push(last);
    }
    return { tenants, next: last ?? null };
  }

  private visitNext(now: number): void {
    let next = this.round.next();
    if (next.done) {
      this.round = this.ledgers.entries();
      next = this.round.next();
      if (next.done) return;
    }
    const [tenant, ledger] = next.value;
    const idleMs = now - ledger.lastUsed;
    if (idleMs < IDLE_MS) return;
    ledger.reap(now, REAP_PER_VISIT);
    ledger.marks.forget(now, REAP_PER_VISIT);
    // A stamp must outlive the tenant's entries. Only tenants with a quota of their own have one, so
    // strangers can't make these many.
    if (idleMs >= FORGET_MS && ledger.isEmpty && ledger.stamp === 0) {
      this.ledgers.delete(tenant);
      this.inOrder.delete(tenant);
    }
  }
}
