import type { Breaker } from './breaker';
import {
  UsageTracker,
  ValueTracker,
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

// TypeScript wants just this type for the base of a mixin.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type TrackerClass = abstract new (...args: any[]) => UsageTracker;

/** The operations of every tracker behind a breaker, for both kinds of tracker. */
function guarded<Base extends TrackerClass>(base: Base) {
  abstract class Guarded extends base {
    abstract readonly inner: UsageTracker;
    abstract readonly breaker: Breaker;

    get store(): string {
      return this.inner.store;
    }

    reserve(request: ReserveRequest): Promise<ReserveReply> {
      return this.breaker.run('reserve', () => this.inner.reserve(request));
    }

    check(request: Omit<ReserveRequest, 'id' | 'holdMs'>): Promise<ReserveReply> {
      return this.breaker.run('check', () => this.inner.check(request));
    }

    commit(request: CommitRequest): Promise<CommitReply> {
      return this.breaker.run('commit', () => this.inner.commit(request));
    }

    release(tenant: string, id: string): Promise<ReleaseReply> {
      return this.breaker.run('release', () => this.inner.release(tenant, id));
    }

    remove(request: RemoveRequest): Promise<RemoveReply> {
      return this.breaker.run('remove', () => this.inner.remove(request));
    }

    refund(request: RefundRequest): Promise<RefundReply> {
      return this.breaker.run('refund', () => this.inner.refund(request));
    }

    read(tenant: string): Promise<Usage> {
      return this.breaker.run('read', () => this.inner.read(tenant));
    }

    sweep(tenant: string, max: number): Promise<SweepReply> {
      return this.breaker.run('sweep', () => this.inner.sweep(tenant, max));
    }

    settled(tenant: string, count: number): Promise<number> {
      return this.breaker.run('settled', () => this.inner.settled(tenant, count));
    }

    lapsed(
      tenant: string,
      cursor: string | null,
      limit: number,
    ): Promise<{ holds: LapsedHold[]; next: string | null }> {
      return this.breaker.run('lapsed', () => this.inner.lapsed(tenant, cursor, limit));
    }

    letGo(tenant: string, ids: readonly string[]): Promise<number> {
      return this.breaker.run('let-go', () => this.inner.letGo(tenant, ids));
    }

    drop(tenant: string): Promise<void> {
      return this.breaker.run('drop', () => this.inner.drop(tenant));
    }

    recount(tenant: string): Promise<{ driftBytes: number; usage: Usage }> {
      return this.breaker.run('recount', () => this.inner.recount(tenant));
    }

    entries(
      tenant: string,
      cursor: string | null,
      limit: number,
    ): Promise<{ entries: KeyView[]; next: string | null }> {
      return this.breaker.run('entries', () => this.inner.entries(tenant, cursor, limit));
    }

    lookup(tenant: string, keys: readonly string[]): Promise<KeyView[]> {
      return this.breaker.run('lookup', () => this.inner.lookup(tenant, keys));
    }

    correct(
      tenant: string,
      corrections: readonly EntryCorrection[],
    ): Promise<{ applied: number; deltaBytes: number }> {
      return this.breaker.run('correct', () => this.inner.correct(tenant, corrections));
    }

    tenants(cursor: string | null, limit: number): Promise<TenantPage> {
      return this.breaker.run('tenants', () => this.inner.tenants(cursor, limit));
    }

    override due(cursor: string | null, limit: number): Promise<TenantPage> {
      return this.breaker.run('due', () => this.inner.due(cursor, limit));
    }
  }
  return Guarded;
}

/** A tracker behind a breaker: while its store is away, every operation fails at once. */
export class BreakerUsageTracker extends guarded(UsageTracker) {
  constructor(
    override readonly inner: UsageTracker,
    override readonly breaker: Breaker,
  ) {
    super();
  }
}

/** The same for a tracker that keeps values, which stays one. */
export class BreakerValueTracker extends guarded(ValueTracker) {
  constructor(
    override readonly inner: ValueTracker,
    override readonly breaker: Breaker,
  ) {
    super();
  }

  getValue(tenant: string, key: string): ReturnType<ValueTracker['getValue']> {
    return this.breaker.run('value-get', () => this.inner.getValue(tenant, key));
  }

  putUnmetered(
    request: Parameters<ValueTracker['putUnmetered']>[0],
  ): ReturnType<ValueTracker['putUnmetered']> {
    return this.breaker.run('value-put-unmetered', () => this.inner.putUnmetered(request));
  }
}

/** Puts a tracker behind a breaker, as what it is. */
export function guardTracker(inner: UsageTracker, breaker: Breaker): UsageTracker {
  return inner instanceof ValueTracker
    ? new BreakerValueTracker(inner, breaker)
    : new BreakerUsageTracker(inner, breaker);
}
