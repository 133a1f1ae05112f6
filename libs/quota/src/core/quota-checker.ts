import { randomUUID } from 'node:crypto';
import { Budget } from './budget';
import { errorEvent } from './error-event';
import { QuotaExceededError, QuotaUnavailableError, UnknownTenantError } from './errors';
import { judge, lateRefusal, standingOf, type Decided } from './judgement';
import { Holds } from './holds';
import type { QuotaObserver } from './observer';
import { offVerdict } from './off-verdict';
import { limitsOf, type QuotaLimits, type QuotaMode, type TenantQuota } from './quota';
import type { QuotaCacheService } from './quota-cache.service';
import { Reservation, type ReservationFields, type ReservationOptions } from './reservation';
import { resolveMode, type Rollout } from './rollout';
import { parseTenantId } from './tenant';
import type { QuotaSpan, QuotaTracer } from './tracing';
import {
  usedBytes,
  type CommitReply,
  type RefundReply,
  type RemoveReply,
  type ReserveReply,
  type UsageTracker,
} from './usage-tracker';
import type { QuotaForecast, QuotaStatus, QuotaVerdict, RefusedVerdict } from './verdict';
import { parseKey, parseSize, parseWrite, type QuotaWrite } from './write';

export interface QuotaCheckerOptions {
  /** The largest single write, in bytes, whatever a tenant's quota. */
  readonly maxWriteBytes: number;
  /** A hold that is not settled goes back after this many ms. */
  readonly reservationTtlMs: number;
}

/** How often a decision is taken anew because the configuration changed meanwhile. */
const MAX_STALE_ROUNDS = 3;

type LedgerWrite = Parameters<UsageTracker['check']>[0];
type StaleReply = Extract<ReserveReply, { outcome: 'stale' }>;

/**
 * Decides on writes and keeps the account of them, for code at any level: HTTP, queues, cron. It
 * knows one ledger, the {@link UsageTracker}, and not how many stores stand behind it.
 */
export class QuotaChecker {
  private readonly holds = new Holds();

  constructor(
    private readonly quotas: QuotaCacheService,
    private readonly tracker: UsageTracker,
    private readonly rollout: () => Rollout,
    private readonly options: QuotaCheckerOptions,
    private readonly observer: QuotaObserver,
    private readonly tracer: QuotaTracer | null = null,
  ) {}

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

  private async decideAndHold(
    write: QuotaWrite,
    shared: Budget | undefined,
    span: QuotaSpan | null,
  ): Promise<QuotaVerdict> {
    const budget = shared ?? new Budget();
    const started = performance.now();
    const id = randomUUID();
    const holdMs = this.options.reservationTtlMs;
    const onLate = (reply: ReserveReply): void => {
      if (reply.outcome === 'reserved') this.giveBack(write.tenant, id);
    };
    const decided = await this.decide(write, budget, (request) =>
      budget.step('reserve', () => this.tracker.reserve({ ...request, id, holdMs }), { onLate }),
    );
    const forecast = judge(write, decided);
    const { quota, mode, reply } = decided;
    const { decision } = forecast;
    const source = reply?.source ?? this.tracker.store;
    if (mode !== 'off') this.report(forecast, started, source);
    span?.add({ decision, mode, source });
    if (!forecast.admitted) return forecast;
    const generation = reply?.outcome === 'reserved' ? reply.generation : '';
    const fields = fieldsOf(write, id, mode, limitsOf(quota), generation);
    const trace =
      span === null || this.tracer === null
        ? undefined
        : { tracer: this.tracer, facts: { decision, mode, source } };
    return { ...forecast, reservation: this.open(fields, shared, trace) };
  }

  /** The verdict {@link reserve} would give now, charging nothing. Throws as {@link reserve}. */
  async check(write: QuotaWrite, budget = new Budget()): Promise<QuotaForecast> {
    parseWrite(write);
    if (this.isOff()) return offVerdict(write);
    const decided = await this.decide(write, budget, (request) => this.askWith(budget, request));
    return judge(write, decided);
  }

  /**
   * Refuses a write early, by its announced size, before its body was sent; null: let it come. Counts
   * as a check only when it refuses, since otherwise the write itself will be decided on. Throws as
   * {@link reserve}.
   */
  async preflight(write: QuotaWrite, budget?: Budget): Promise<RefusedVerdict | null> {
    const started = performance.now();
    const forecast = await this.check(write, budget);
    if (forecast.admitted) return null;
    this.report(forecast, started, this.tracker.store);
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
   * ledger hears of the end leaves a reservation that lapses, and the tenant is reconciled soon. Never
   * refused: where no store can take that note, it goes on without.
   *
   * @param remove deletes in the storage; the removal's version where there is one, or null when
   * nothing was there and the ledger need not be told. Throws: whether it was done is not known,
   * unless it is a QuotaUnavailableError that says it was not.
   * @param budget as for {@link reserve}
   * @returns the ledger's reply; null when there was nothing to remove.
   * @throws QuotaUnavailableError when the ledger did not answer: what is removed stays counted until
   * the tenant is reconciled, which will be soon. And whatever `remove` throws.
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
    await this.endIntent(tenant, intent, budget);
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
    const quota = await this.presentQuota(tenant, budget);
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

  private async decide(
    write: QuotaWrite,
    budget: Budget,
    ask: (
      request: Omit<Parameters<UsageTracker['reserve']>[0], 'id' | 'holdMs'>,
    ) => Promise<ReserveReply>,
  ): Promise<Decided> {
    let quota = await this.quotas.getQuota(write.tenant, budget);
    for (let round = 0; round < MAX_STALE_ROUNDS; round += 1) {
      const mode = resolveMode(this.rollout(), quota);
      if (mode === 'enforce' && write.bytes > this.options.maxWriteBytes) {
        return { quota, mode, reply: null };
      }
      const request = ledgerWrite(write, quota, mode);
      const reply = mode === 'off' ? await this.confirmOff(request, budget) : await ask(request);
      if (reply?.outcome !== 'stale') return { quota, mode, reply };
      quota = await this.quotas.getQuotaSince(write.tenant, reply.stamp, budget);
    }
    throw new QuotaUnavailableError('config', { applied: 'no', contact: 'answered' });
  }

  /**
   * A tenant's own `off` may have been lifted on another instance; the ledger knows. One that
   * doesn't answer doesn't stand in the way of a tenant that is off.
   */
  private async confirmOff(request: LedgerWrite, budget: Budget): Promise<StaleReply | null> {
    try {
      return await this.staleness(request, budget);
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      this.observer.emit('error', errorEvent('check', error, request.tenant));
      return null;
    }
  }

  /** The tenant's quota, after asking the ledger whether it was changed on another instance. */
  private async presentQuota(tenant: string, budget: Budget): Promise<TenantQuota> {
    const quota = await this.quotas.getQuota(tenant, budget);
    const stale = await this.staleness(ledgerWrite({ tenant, bytes: 0 }, quota, 'shadow'), budget);
    return stale === null ? quota : this.quotas.getQuotaSince(tenant, stale.stamp, budget);
  }

  /** Asks the ledger whether it knows of a newer configuration; null: it doesn't. Decides nothing. */
  private async staleness(request: LedgerWrite, budget: Budget): Promise<StaleReply | null> {
    const reply = await this.askWith(budget, { ...request, bytes: 0 });
    return reply.outcome === 'stale' ? reply : null;
  }

  /** A reservation of no bytes; null where nothing is metered, or nobody can take it. */
  private async intend(tenant: string, key: string, budget: Budget): Promise<string | null> {
    if (this.isOff()) return null;
    const id = randomUUID();
    const holdMs = this.options.reservationTtlMs;
    const onLate = (): void => this.giveBack(tenant, id);
    try {
      const { reply } = await this.decide({ tenant, key, bytes: 0 }, budget, (request) =>
        budget.step(
          'reserve',
          () => this.tracker.reserve({ ...request, enforce: false, id, holdMs }),
          { onLate },
        ),
      );
      return reply === null ? null : id;
    } catch (error) {
      if (error instanceof QuotaUnavailableError || error instanceof UnknownTenantError)
        return null;
      throw error;
    }
  }

  private async endIntent(tenant: string, id: string | null, budget: Budget): Promise<void> {
    if (id === null) return;
    try {
      await budget.wait('release', this.tracker.release(tenant, id));
    } catch (error) {
      // It lapses, and the tenant is reconciled once more than needed.
      this.observer.emit('error', errorEvent('release', error, tenant));
    }
  }

  private askWith(budget: Budget, request: LedgerWrite): Promise<ReserveReply> {
    return budget.step('check', () => this.tracker.check(request), { applied: 'no' });
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
    const { tenant, id, bytes, mode } = fields;
    if (mode === 'off') return new Reservation(null, fields, { budget });
    this.holds.touch(tenant);
    this.holds.open(id, bytes, this.options.reservationTtlMs);
    const onSettled = (): void => this.holds.settle(id);
    const onAbandoned = (): void => this.holds.abandon(id);
    return new Reservation(this.tracker, fields, { onSettled, onAbandoned, budget, trace });
  }

  private report(forecast: QuotaForecast, started: number, source: string): void {
    this.observer.emit('check', {
      tenant: forecast.tenant,
      bytes: forecast.bytes,
      usedBytes: forecast.numbers?.usedBytes ?? 0,
      limitBytes: forecast.numbers?.hardBytes ?? this.options.maxWriteBytes,
      decision: forecast.decision,
      mode: forecast.mode,
      durationMs: performance.now() - started,
      source,
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

function ledgerWrite(write: QuotaWrite, quota: TenantQuota, mode: QuotaMode): LedgerWrite {
  return {
    tenant: write.tenant,
    ...(write.key !== undefined && { key: write.key }),
    bytes: write.bytes,
    limits: limitsOf(quota),
    stamp: quota.stamp,
    enforce: mode === 'enforce',
  };
}

function fieldsOf(
  write: QuotaWrite,
  id: string,
  mode: QuotaMode,
  limits: QuotaLimits,
  generation: string,
): ReservationFields {
  return {
    tenant: write.tenant,
    id,
    key: write.key,
    bytes: write.bytes,
    ttlMs: write.ttlSeconds === undefined ? undefined : write.ttlSeconds * 1_000,
    limits,
    mode,
    generation,
  };
}
