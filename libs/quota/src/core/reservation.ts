import { Budget } from './budget';
import type { QuotaLimits, QuotaMode } from './quota';
import type { QuotaTracer, SpanFacts } from './tracing';
import type {
  CommitReply,
  CommitRequest,
  ReleaseReply,
  StoredValue,
  Usage,
  UsageTracker,
} from './usage-tracker';

/** What is said of the stored write when it is committed. */
export interface CommitDetails {
  /** See CommitRequest.version in the tracker's port. */
  readonly version?: number;
  /** For trackers that keep values: stored in the same atomic step. */
  readonly value?: StoredValue;
}

export type ReservationState =
  'open' | 'settling' | 'committed' | 'refused' | 'bounced' | 'released' | 'abandoned';

/** Data a reservation is made of; all of it is sent again with the commit, which can thus be judged anew. */
export interface ReservationFields {
  readonly tenant: string;
  readonly id: string;
  readonly key: string | undefined;
  readonly bytes: number;
  readonly ttlMs: number | undefined;
  readonly limits: QuotaLimits;
  readonly mode: QuotaMode;
  readonly generation: string;
}

/** Values above travel by a way of their own, whose limit grows with them; see docs/architecture.md. */
const SMALL_VALUE_BYTES = 65_536;

/** Told of what becomes of reservations, each time once. */
export interface ReservationOwner {
  /** The ledger has settled it. */
  settled(id: string): void;
  /** Its commit was refused: it was admitted, and no longer fits. */
  refused(reservation: Reservation, bytes: number, usage: Usage): void;
  /** It was given up unsettled. */
  abandoned(id: string): void;
}

export interface ReservationOptions {
  readonly owner?: ReservationOwner;
  /** The time of the request it belongs to; otherwise each call has its own. */
  readonly budget?: Budget | undefined;
  /** Where its settlement is traced, and what was decided; absent: it is not. */
  readonly trace?: { readonly tracer: QuotaTracer; readonly facts: SpanFacts } | undefined;
}

/**
 * Bytes held for one write. Whoever opened it settles it, once: `commit` or `release`. If neither
 * happens, the bytes go back at the deadline.
 */
export class Reservation {
  private current: ReservationState = 'open';
  private settled: Usage | null = null;

  constructor(
    private readonly tracker: UsageTracker | null,
    private readonly fields: ReservationFields,
    private readonly options: ReservationOptions = {},
  ) {}

  get id(): string {
    return this.fields.id;
  }

  get tenant(): string {
    return this.fields.tenant;
  }

  get key(): string | undefined {
    return this.fields.key;
  }

  /** Bytes held. */
  get bytes(): number {
    return this.fields.bytes;
  }

  get mode(): QuotaMode {
    return this.fields.mode;
  }

  get limits(): QuotaLimits {
    return this.fields.limits;
  }

  get ttlMs(): number | undefined {
    return this.fields.ttlMs;
  }

  get state(): ReservationState {
    return this.current;
  }

  /**
   * Usage after the settlement, where that made it another than the verdict announced: another size
   * was committed, or the bytes went back. Otherwise null.
   */
  get settledUsage(): Usage | null {
    return this.settled;
  }

  /**
   * Turns the hold into an entry of `actual` bytes (what was reserved, unless said otherwise).
   * Resolves to null when the quota is off and there is nothing to settle. `refused` and `bounced`
   * mean: undo what was stored.
   *
   * @throws QuotaUnavailableError when the store did not answer in time; it may be tried again.
   * @throws Error when it was settled before.
   */
  async commit(actual?: number, details?: CommitDetails): Promise<CommitReply | null> {
    this.begin('commit');
    if (this.tracker === null) {
      this.current = 'committed';
      return null;
    }
    const { tracker } = this;
    const { tenant, id, key, bytes, ttlMs, limits, mode, generation } = this.fields;
    const request: CommitRequest = {
      tenant,
      id,
      key,
      bytes: actual ?? bytes,
      limits,
      enforce: mode === 'enforce',
      generation,
      ttlMs,
      version: details?.version,
      value: details?.value,
    };
    const waits = (request.value?.body.length ?? 0) <= SMALL_VALUE_BYTES;
    const settle = (reply: CommitReply): void => this.settleCommit(request, reply);
    return this.traced('commit', request.bytes, () =>
      this.settling('commit', () => tracker.commit(request), settle, waits),
    );
  }

  /**
   * Gives the bytes back. Settled before: does nothing.
   *
   * @throws QuotaUnavailableError when the store did not answer; the deadline gives the bytes back then.
   */
  async release(): Promise<ReleaseReply | null> {
    if (this.current !== 'open') return null;
    this.begin('release');
    if (this.tracker === null) {
      this.current = 'released';
      return null;
    }
    const { tracker } = this;
    const { tenant, id, bytes } = this.fields;
    const settle = (reply: ReleaseReply): void => this.settle('released', reply.usage);
    return this.traced('release', bytes, () =>
      this.settling('release', () => tracker.release(tenant, id), settle),
    );
  }

  /**
   * Leaves an open one to its deadline: it will not be tried again, and nobody can say whether what it
   * was for is stored. A shutdown does not wait for it; what it holds stays counted when it lapses,
   * until the upkeep has found out. Settled: does nothing.
   */
  abandon(): void {
    if (this.current !== 'open') return;
    this.current = 'abandoned';
    this.options.owner?.abandoned(this.id);
  }

  /** What is left of the request's time, for other steps of it; a new one where it has none. */
  get budget(): Budget {
    return this.options.budget ?? new Budget();
  }

  private traced<T extends { readonly outcome: string }>(
    operation: 'commit' | 'release',
    bytes: number,
    work: () => Promise<T>,
  ): Promise<T> {
    const { trace } = this.options;
    if (trace === undefined) return work();
    const { tenant } = this.fields;
    return trace.tracer.run('quota.settle', { tenant, bytes }, async (span) => {
      span.add({ ...trace.facts, operation });
      const reply = await work();
      span.add({ outcome: reply.outcome });
      return reply;
    });
  }

  /**
   * What is said after the caller has left settles it too, unless it was settled otherwise since.
   *
   * @param waits false: for as long as it takes, which the tracker bounds
   */
  private async settling<T>(
    operation: string,
    work: () => Promise<T>,
    settle: (reply: T) => void,
    waits = true,
  ): Promise<T> {
    const onLate = (late: T): void => {
      if (this.current === 'open' || this.current === 'abandoned') settle(late);
    };
    try {
      const reply = await (waits ? this.budget.wait(operation, work(), { onLate }) : work());
      settle(reply);
      return reply;
    } catch (error) {
      this.current = 'open';
      throw error;
    }
  }

  private settleCommit({ bytes }: CommitRequest, reply: CommitReply): void {
    const asAnnounced = reply.outcome === 'committed' && bytes === this.bytes;
    const changes = !asAnnounced && reply.outcome !== 'bounced';
    this.settle(reply.outcome, changes ? reply.usage : null);
    if (reply.outcome === 'refused') this.options.owner?.refused(this, bytes, reply.usage);
  }

  private settle(state: ReservationState, usage: Usage | null): void {
    this.current = state;
    this.options.owner?.settled(this.id);
    if (usage !== null) this.settled = usage;
  }

  private begin(what: string): void {
    if (this.current !== 'open') {
      throw new Error(`Cannot ${what} reservation ${this.id}: it is ${this.current} already.`);
    }
    this.current = 'settling';
  }
}
