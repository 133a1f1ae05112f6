import { randomUUID } from 'node:crypto';
import { Budget } from './budget';
import { Decider, type LedgerWrite } from './decider';
import { errorEvent } from './error-event';
import { QuotaExceededError, QuotaUnavailableError, UnknownTenantError } from './errors';
import { judge, lateRefusal, standingOf, type Decided } from './judgement';
import { holdAnew } from './hold-anew';
import { Holds } from './holds';
import type { QuotaObserver } from './observer';
import { offVerdict } from './off-verdict';
import { limitsOf } from './quota';
import type { QuotaCacheService } from './quota-cache.service';
import {
  Reservation,
  type ReservationFields,
  type ReservationOptions,
  type ReservationOwner,
} from './reservation';
import { resolveMode, type Rollout } from './rollout';
import { parseTenantId } from './tenant';
import type { QuotaSpan, QuotaTracer } from './tracing';
import {
  usedBytes,
  type CommitReply,
  type RefundReply,
  type RemoveReply,
  type ReserveReply,
  type Usage,
  type UsageTracker,
} from './usage-tracker';
import { changeOf } from './written';
import type {
  AdmittedVerdict,
  QuotaForecast,
  QuotaStatus,
  QuotaVerdict,
  RefusedVerdict,
} from './verdict';
import { parseKey, parseSize, parseWrite, type QuotaWrite } from './write';

export interface QuotaCheckerOptions {
  /** The largest single write, in bytes, whatever a tenant's quota. */
  readonly maxWriteBytes: number;
  /** A hold that is not settled goes back after this many ms. */
  readonly reservationTtlMs: number;
  /** There is a storage to ask: a hold with a key is kept until that was done; see ReserveRequest.keep. */
  readonly keepLapsed?: boolean;
}

/**
 * Decides on writes and keeps the account of them, for code at any level: HTTP, queues, cron. It
 * knows one ledger, the {@link UsageTracker}, and not how many stores stand behind it.
 */
export class QuotaChecker {
  private readonly holds = new Holds();
  private readonly decider: Decider;
  private readonly owner: ReservationOwner = {
    settled: (id) => this.holds.settle(id),
    abandoned: (id) => this.holds.abandon(id),
    refused: (reservation, bytes, usage) => this.reportLate(reservation, bytes, usage),
  };

  constructor(
    quotas: QuotaCacheService,
    private readonly tracker: UsageTracker,
    private readonly rollout: () => Rollout,
    private readonly options: QuotaCheckerOptions,
    private readonly observer: QuotaObserver,
    private readonly tracer: QuotaTracer | null = null,
  ) {
    this.decider = new Decider(quotas, tracker, rollout, options.maxWriteBytes, observer);
  }

  /**
   * Decides on a write and, unless it is refused, holds its bytes. An admitted verdict's reservation
   * must be committed or released.
   *
   * @throws InvalidTenantError, InvalidWriteError before any I/O.
   * @throws UnknownTenantError when the tenant has no quota and such tenants are refused.
   * @param budget for a request with more steps than this: the time that all of them have together,
   * the settlement of the reservation included. Otherwise each call has its own.
   * @throws QuotaUnavailableError when the stores don't answer in time, or after {@link drain}.
   */
  async reserve(write: QuotaWrite, budget?: Budget): Promise<QuotaVerdict> {
    parseWrite(write);
    if (this.isOff()) return offVerdict(write);
    const { tracer } = this;
    if (tracer?.active !== true) {
      return this.holds.deciding(() => this.decideAndHold(write, budget, null));
    }
    return this.holds.deciding(() =>
      tracer.run('quota.reserve', write, (span) => this.decideAndHold(write, budget, span)),
    );
  }

  /** Bytes that this instance holds for writes on their way. */
  get reservedBytes(): number {
    return this.holds.bytes;
  }

  /** Tenants whose usage this instance may have changed since it was last asked. */
  takeTouched(): string[] {
    return this.holds.takeTouched();
  }

  /**
   * Takes no new reservations from here on ({@link reserve} throws QuotaUnavailableError with
   * `closing`), and waits until the open ones are settled, at most `limitMs`. False: some were not;
   * their deadline gives them back.
   */
  drain(limitMs: number): Promise<boolean> {
    return this.holds.drain(limitMs);
  }

  /**
   * The ledger may have lost what it knew of the tenant, or of any (null). What this instance holds
   * there is held once more, whatever the limit, so that there is room for what its owners will store.
   * Never rejects: of what could not be held again the commit decides.
   */
  async holdAnew(tenant: string | null): Promise<void> {
    const { keepLapsed = false } = this.options;
    const failure = await holdAnew(this.holds, tenant, this.tracker, keepLapsed);
    if (failure === null) return;
    this.observer.emit('error', errorEvent('hold_anew', failure, tenant ?? undefined));
  }

  private async decideAndHold(
    write: QuotaWrite,
    shared: Budget | undefined,
    span: QuotaSpan | null,
  ): Promise<QuotaVerdict> {
    const budget = shared ?? new Budget();
    const started = performance.now();
    let id = '';
    const decided = await this.decider.decide(write, budget, (request) => {
      id = randomUUID();
      return this.hold(request, id, budget);
    });
    const forecast = judge(write, decided);
    const { mode, reply } = decided;
    const { decision } = forecast;
    const source = reply?.source ?? this.tracker.store;
    if (mode !== 'off') this.report(forecast, decided, started);
    span?.add({ decision, mode, source });
    if (!forecast.admitted) return forecast;
    const trace =
      span === null || this.tracer === null
        ? undefined
        : { tracer: this.tracer, facts: { decision, mode, source } };
    const fields = fieldsOf(write, id, decided);
    return admit(forecast, this.open(fields, shared, trace));
  }

  /** The verdict {@link reserve} would give now, charging nothing. Throws as {@link reserve}. */
  async check(write: QuotaWrite, budget = new Budget()): Promise<QuotaForecast> {
    parseWrite(write);
    if (this.isOff()) return offVerdict(write);
    return judge(write, await this.ask(write, budget));
  }

  /**
   * Refuses a write early, by its announced size, before its body was sent; null: let it come. Counts
   * as a check only when it refuses, since otherwise the write itself will be decided on. Throws as
   * {@link reserve}.
   */
  async preflight(write: QuotaWrite, budget?: Budget): Promise<RefusedVerdict | null> {
    const started = performance.now();
    parseWrite(write);
    if (this.isOff()) return null;
    const decided = await this.ask(write, budget ?? new Budget());
    const forecast = judge(write, decided);
    if (forecast.admitted) return null;
    this.report(forecast, decided, started);
    return forecast;
  }

  /** True while the quota is off for everyone: nothing of a request needs to be looked at. */
  isOff(): boolean {
    return !this.rollout().enabled;
  }

  /**
   * Reserves, runs `store`, commits what it returns (a number of bytes stored, or nothing: as
   * announced), and releases if it throws.
   *
   * @throws QuotaExceededError when the write is refused, before or after `store`; after, `undo` ran.
   * @throws WriteBouncedError when the tenant was deleted meanwhile; `undo` ran.
   * @throws as {@link reserve}, and whatever `store` throws.
   */
  async run(
    write: QuotaWrite,
    store: (reservation: Reservation) => Promise<number | undefined>,
    undo?: () => Promise<void>,
  ): Promise<QuotaVerdict> {
    const verdict = await this.reserve(write, new Budget());
    if (!verdict.admitted) throw new QuotaExceededError(verdict);
    const { reservation } = verdict;
    let stored: number | undefined;
    try {
      stored = await store(reservation);
    } catch (error) {
      await this.releaseQuietly(reservation);
      throw error;
    }
    const reply = await this.commitOnce(reservation, stored);
    if (reply?.outcome === 'refused' || reply?.outcome === 'bounced') {
      await undo?.();
      throw lateRefusal(reservation, reply);
    }
    return verdict;
  }

  /**
   * Removes an entry and gives its bytes back. Never refused by a limit or a mode.
   *
   * @param budget as for {@link reserve}
   */
  async remove(
    tenant: string,
    key: string,
    version?: number,
    budget = new Budget(),
  ): Promise<RemoveReply> {
    parseTenantId(tenant);
    parseKey(key);
    this.holds.touch(tenant);
    const request = {
      tenant,
      id: randomUUID(),
      key,
      ...(version !== undefined && { version }),
    };
    return budget.step('remove', () => this.tracker.remove(request));
  }

  /**
   * Removes an entry together with what an application's own storage has of it. Before `remove` is
   * run the ledger is told that something is on its way to the key: a process that dies before the
   * ledger hears of the end leaves a reservation that lapses, and the key is looked into soon. Never
   * refused: where no store can take that note, it goes on without.
   *
   * @param remove deletes in the storage; the removal's version where there is one, or null when
   * nothing was there and the ledger need not be told. Throws: whether it was done is not known,
   * unless it is a QuotaUnavailableError that says it was not.
   * @param budget as for {@link reserve}
   * @returns the ledger's reply; null when there was nothing to remove.
   * @throws QuotaUnavailableError when the ledger did not answer: what is removed stays counted until
   * the key is looked into, which will be soon. And whatever `remove` throws.
   */
  async runRemoval(
    tenant: string,
    key: string,
    remove: () => Promise<{ readonly version?: number } | null>,
    budget = new Budget(),
  ): Promise<RemoveReply | null> {
    parseTenantId(tenant);
    parseKey(key);
    const intent = await this.intend(tenant, key, budget);
    let removed: { readonly version?: number } | null;
    try {
      removed = await remove();
    } catch (error) {
      const untouched = error instanceof QuotaUnavailableError && error.applied === 'no';
      if (untouched) await this.endIntent(tenant, intent, budget);
      throw error;
    }
    const reply = removed && (await this.remove(tenant, key, removed.version, budget));
    // The answer need not wait for it; a process that dies before lets it lapse.
    void this.endIntent(tenant, intent, budget);
    return reply;
  }

  /** Gives back bytes that were charged without a key. Never refused. */
  async refund(tenant: string, bytes: number): Promise<RefundReply> {
    parseTenantId(tenant);
    parseSize(bytes);
    this.holds.touch(tenant);
    const request = { tenant, id: randomUUID(), bytes };
    const reply = await new Budget().step('refund', () => this.tracker.refund(request));
    if (reply.underflowBytes > 0) {
      this.observer.emit('error', { operation: 'refund', error: 'underflow', tenant });
    }
    return reply;
  }

  /** Where the tenant stands. Throws as {@link reserve}. */
  async status(tenant: string, budget = new Budget()): Promise<QuotaStatus> {
    parseTenantId(tenant);
    const quota = await this.decider.presentQuota(tenant, budget);
    const usage = await budget.step('read', () => this.tracker.read(tenant), { applied: 'no' });
    const limits = limitsOf(quota);
    const used = usedBytes(usage);
    return {
      tenant,
      mode: resolveMode(this.rollout(), quota),
      ...limits,
      ...usage,
      usedBytes: used,
      overageAllowed: quota.overageAllowed,
      overageBytes: quota.overageBytes,
      origin: quota.origin,
      decision: standingOf(used, limits),
    };
  }

  private ask(write: QuotaWrite, budget: Budget): Promise<Decided> {
    return this.decider.decide(write, budget, (request) => this.decider.check(budget, request));
  }

  /** A reservation of no bytes; null where nothing is metered, or nobody can take it. */
  private async intend(tenant: string, key: string, budget: Budget): Promise<string | null> {
    if (this.isOff()) return null;
    let id = '';
    try {
      const { reply } = await this.decider.decide({ tenant, key, bytes: 0 }, budget, (request) => {
        id = randomUUID();
        return this.hold({ ...request, enforce: false }, id, budget);
      });
      return reply === null ? null : id;
    } catch (error) {
      if (error instanceof QuotaUnavailableError || error instanceof UnknownTenantError)
        return null;
      throw error;
    }
  }

  /**
   * Asked anew, it needs a new id: what has become of the attempt before may not be known, and it is
   * given back when it is.
   */
  private hold(request: LedgerWrite, id: string, budget: Budget): Promise<ReserveReply> {
    const { reservationTtlMs: holdMs, keepLapsed: keep = false } = this.options;
    const { tenant, key, bytes, limits, stamp, enforce } = request;
    const hold = { tenant, id, key, bytes, limits, stamp, enforce, holdMs, keep };
    const onLate = (reply: ReserveReply): void => {
      if (reply.outcome === 'reserved') this.giveBack(tenant, id);
    };
    return budget.step('reserve', () => this.tracker.reserve(hold), { onLate });
  }

  private async endIntent(tenant: string, id: string | null, budget: Budget): Promise<void> {
    if (id === null) return;
    try {
      await budget.wait('release', this.tracker.release(tenant, id));
    } catch (error) {
      // It lapses, and the key is looked into once more than needed.
      this.observer.emit('error', errorEvent('release', error, tenant));
    }
  }

  /** Of a reservation that came too late for whoever wanted it. Otherwise its deadline would. */
  private giveBack(tenant: string, id: string): void {
    this.tracker.release(tenant, id).catch((error: unknown) => {
      this.observer.emit('error', errorEvent('release', error, tenant));
    });
  }

  private open(
    fields: ReservationFields,
    budget: Budget | undefined,
    trace: ReservationOptions['trace'],
  ): Reservation {
    const { tenant, mode } = fields;
    if (mode === 'off') return new Reservation(null, fields, { budget });
    this.holds.touch(tenant);
    this.holds.open(fields, this.options.reservationTtlMs);
    return new Reservation(this.tracker, fields, { owner: this.owner, budget, trace });
  }

  private reportLate({ tenant, limits, mode }: Reservation, bytes: number, usage: Usage): void {
    const source = this.tracker.store;
    const [used, limitBytes] = [usedBytes(usage), limits.hardBytes];
    this.observer.emit('late', { tenant, bytes, usedBytes: used, limitBytes, mode, source });
  }

  private report(forecast: QuotaForecast, decided: Decided, started: number): void {
    // Too large for any quota: the tenant's own was not what it was held against.
    const reply = decided.aboveMaximum === true ? null : decided.reply;
    this.observer.emit('check', {
      tenant: forecast.tenant,
      bytes: forecast.bytes,
      usedBytes: forecast.numbers?.usedBytes ?? 0,
      limitBytes: (reply && forecast.numbers?.hardBytes) ?? this.options.maxWriteBytes,
      decision: forecast.decision,
      mode: forecast.mode,
      durationMs: performance.now() - started,
      source: decided.reply?.source ?? this.tracker.store,
      ...(reply && { quotaBytes: decided.quota.quotaBytes, ...changeOf(forecast.bytes, reply) }),
    });
  }

  private async releaseQuietly(reservation: Reservation): Promise<void> {
    try {
      await reservation.release();
    } catch (error) {
      // The deadline gives the bytes back; the caller's own error matters more than ours.
      this.observer.emit('error', errorEvent('release', error, reservation.tenant));
      reservation.abandon();
    }
  }

  /** The caller has no reservation to try again with. */
  private async commitOnce(
    reservation: Reservation,
    stored: number | undefined,
  ): Promise<CommitReply | null> {
    try {
      return await reservation.commit(stored);
    } catch (error) {
      reservation.abandon();
      throw error;
    }
  }
}

function fieldsOf(write: QuotaWrite, id: string, decided: Decided): ReservationFields {
  const { quota, mode, reply } = decided;
  return {
    tenant: write.tenant,
    id,
    key: write.key,
    bytes: write.bytes,
    ttlMs: write.ttlSeconds === undefined ? undefined : write.ttlSeconds * 1_000,
    limits: limitsOf(quota),
    mode,
    generation: reply?.outcome === 'reserved' ? reply.generation : '',
  };
}

function admit(
  { tenant, mode, bytes, decision, numbers }: Omit<AdmittedVerdict, 'reservation'>,
  reservation: Reservation,
): AdmittedVerdict {
  return { tenant, mode, bytes, admitted: true, decision, numbers, reservation };
}
