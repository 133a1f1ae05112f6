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

/**
 * The ledgers by tenant. No timer and no list of the idle: every call visits one tenant more, in
 * turn, so that what expired under a tenant that never comes back doesn't stay for good.
 */
export class Tenants {
  private readonly ledgers = new Map<string, TenantLedger>();
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
    if (idleMs >= FORGET_MS && ledger.isEmpty && ledger.stamp === 0) this.ledgers.delete(tenant);
  }
}
