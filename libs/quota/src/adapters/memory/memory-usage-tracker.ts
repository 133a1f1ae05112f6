import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
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
} from '../../core';
import { REAP_PER_TURN, check, reserve } from './admission';
import { checkCount, checkRequest } from './arguments';
import { refund, remove } from './giving-back';
import { commit, release } from './settlement';
import { TenantLedger } from './tenant-ledger';
import { Tenants } from './tenants';
import { correct, lapsedPage, letGo, page, sweep } from './upkeep';
import { getValue, keep, putUnmetered, type UnmeteredReply, type UnmeteredRequest } from './values';

const NOTHING = { lapsed: false, unsettled: 0 };
const ZERO: Usage = { committedBytes: 0, reservedBytes: 0, unmeteredBytes: 0 };

/** Ms since the epoch when the process started, going on evenly: setting the clock changes nothing. */
export const monotonicClock = (): number => performance.timeOrigin + performance.now();

/**
 * The ledger of one process, with its values. Every operation is one synchronous step on one
 * tenant; time is looked at when something asks, never by a timer.
 *
 * A value that {@link getValue} returns is the stored buffer itself: not to be written to.
 */
export class MemoryUsageTracker extends ValueTracker {
  readonly store = 'memory';

  private readonly ledgers = new Tenants();
  private readonly life = randomUUID();
  private lives = 0;
  private latest = -Infinity;

  /** @param clock ms since the epoch; what it says never goes back, whatever it does. */
  constructor(private readonly clock: () => number = monotonicClock) {
    super();
  }

  override async reserve(request: ReserveRequest): Promise<ReserveReply> {
    checkRequest(request);
    const { tenant } = request;
    for (;;) {
      const ledger = this.find(tenant) ?? this.newLedger();
      const reply = reserve(ledger, request, this.now());
      if (reply?.outcome === 'reserved') this.ledgers.keep(tenant, ledger, this.latest);
      if (reply) return reply;
      await nextTurn();
    }
  }

  override async check(request: Omit<ReserveRequest, 'id' | 'holdMs'>): Promise<ReserveReply> {
    checkRequest(request);
    for (;;) {
      const ledger = this.find(request.tenant) ?? new TenantLedger('');
      const reply = check(ledger, request, this.now());
      if (reply) return reply;
      await nextTurn();
    }
  }

  override async commit(request: CommitRequest): Promise<CommitReply> {
    checkRequest(request);
    const value = request.value && keep(request.value);
    for (;;) {
      const ledger = this.find(request.tenant);
      if (!ledger) return { outcome: 'bounced' };
      const reply = commit(ledger, value ? { ...request, value } : request, this.now());
      if (reply) return reply;
      await nextTurn();
    }
  }

  override async release(tenant: string, id: string): Promise<ReleaseReply> {
    checkRequest({ tenant, id });
    const ledger = this.find(tenant);
    return ledger ? release(ledger, id, this.now()) : { outcome: 'settled', usage: ZERO };
  }

  override async remove(request: RemoveRequest): Promise<RemoveReply> {
    checkRequest(request);
    const ledger = this.find(request.tenant);
    if (!ledger) return { removed: false, freedBytes: 0, usage: ZERO };
    return remove(ledger, request, this.now());
  }

  override async refund(request: RefundRequest): Promise<RefundReply> {
    checkRequest(request);
    const ledger = this.find(request.tenant);
    if (!ledger) return { freedBytes: 0, underflowBytes: request.bytes, usage: ZERO };
    return refund(ledger, request, this.now());
  }

  override async read(tenant: string): Promise<Usage> {
    checkRequest({ tenant });
    return (await this.reaped(tenant))?.usage ?? ZERO;
  }

  override async sweep(tenant: string, max: number): Promise<SweepReply> {
    checkRequest({ tenant });
    checkCount('max', max);
    const ledger = this.find(tenant);
    if (ledger) return sweep(ledger, max, this.now());
    return { expiredEntries: 0, expiredReservations: 0, freedBytes: 0, more: false, ...NOTHING };
  }

  override async settled(tenant: string, count: number): Promise<number> {
    checkRequest({ tenant });
    checkCount('count', count);
    const ledger = this.find(tenant);
    if (!ledger) return 0;
    const lowered = Math.min(count, ledger.unsettled);
    ledger.unsettled -= lowered;
    return lowered;
  }

  override async lapsed(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ holds: LapsedHold[]; next: string | null }> {
    checkRequest({ tenant });
    checkCount('limit', limit, 1);
    const ledger = this.find(tenant);
    return ledger ? lapsedPage(ledger, cursor, limit) : { holds: [], next: null };
  }

  override async letGo(tenant: string, ids: readonly string[]): Promise<number> {
    for (const id of ids) checkRequest({ tenant, id });
    const ledger = this.find(tenant);
    return ledger ? letGo(ledger, ids, this.now()) : 0;
  }

  override async drop(tenant: string): Promise<void> {
    checkRequest({ tenant });
    const old = this.find(tenant);
    if (!old) return;
    const next = this.newLedger();
    next.stamp = old.stamp;
    // A write of this life may have been stored for the next one to count.
    next.unsettled = old.unsettled + 1;
    this.ledgers.keep(tenant, next, this.latest);
  }

  override async recount(tenant: string): Promise<{ driftBytes: number; usage: Usage }> {
    checkRequest({ tenant });
    const ledger = await this.reaped(tenant);
    if (!ledger) return { driftBytes: 0, usage: ZERO };
    const driftBytes = ledger.recount();
    return { driftBytes, usage: ledger.usage };
  }

  override async entries(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ entries: KeyView[]; next: string | null }> {
    checkRequest({ tenant });
    checkCount('limit', limit, 1);
    const ledger = this.find(tenant);
    return ledger ? page(ledger, cursor, limit, this.now()) : { entries: [], next: null };
  }

  override async lookup(tenant: string, keys: readonly string[]): Promise<KeyView[]> {
    checkRequest({ tenant });
    const ledger = this.find(tenant);
    const now = this.now();
    return keys.map((key) => {
      if (!ledger) return { key, entry: null, pending: false };
      ledger.settle(key, now);
      return ledger.view(key, now);
    });
  }

  override async correct(
    tenant: string,
    corrections: readonly EntryCorrection[],
  ): Promise<{ applied: number; deltaBytes: number }> {
    for (const { key, bytes, version } of corrections) {
      checkRequest({
        tenant,
        key,
        ...(bytes === undefined ? {} : { bytes }),
        ...(version === undefined ? {} : { version }),
      });
    }
    checkRequest({ tenant });
    const ledger = this.find(tenant) ?? this.newLedger();
    const reply = correct(ledger, corrections, this.now());
    if (!ledger.isEmpty) this.ledgers.keep(tenant, ledger, this.latest);
    return reply;
  }

  override async tenants(cursor: string | null, limit: number): Promise<TenantPage> {
    checkCount('limit', limit, 1);
    return this.ledgers.page(cursor, limit, () => true);
  }

  override async due(cursor: string | null, limit: number): Promise<TenantPage> {
    checkCount('limit', limit, 1);
    const now = this.now();
    return this.ledgers.page(
      cursor,
      limit,
      (ledger) => ledger.unsettled > 0 || ledger.lapsed.size > 0 || ledger.hasDue(now),
    );
  }

  override async getValue(
    tenant: string,
    key: string,
  ): Promise<Awaited<ReturnType<ValueTracker['getValue']>>> {
    checkRequest({ tenant, key });
    const ledger = this.find(tenant);
    return ledger ? getValue(ledger, key, this.now()) : { value: null, usage: ZERO };
  }

  override async putUnmetered(request: UnmeteredRequest): Promise<UnmeteredReply> {
    checkRequest(request);
    const { tenant } = request;
    const ledger = this.find(tenant) ?? this.newLedger();
    const reply = putUnmetered(ledger, request, this.now());
    if (reply.outcome === 'stored') this.ledgers.keep(tenant, ledger, this.latest);
    return reply;
  }

  private find(tenant: string): TenantLedger | undefined {
    return this.ledgers.find(tenant, this.now());
  }

  /** A ledger that is not yet the tenant's: kept only if something is to be kept in it. */
  private newLedger(): TenantLedger {
    return new TenantLedger(`${this.life}.${(++this.lives).toString(36)}`);
  }

  /** The tenant's ledger with nothing due in it. A mass expiry is spread over turns of the event loop. */
  private async reaped(tenant: string): Promise<TenantLedger | undefined> {
    for (;;) {
      const ledger = this.find(tenant);
      const now = this.now();
      ledger?.reap(now, REAP_PER_TURN);
      if (!ledger?.hasDue(now)) return ledger;
      await nextTurn();
    }
  }

  private now(): number {
    this.latest = Math.max(this.latest, Math.floor(this.clock()));
    return this.latest;
  }
}
