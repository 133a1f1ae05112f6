import type { QuotaLimits, QuotaMode } from './quota';
import type { CommitReply, ReleaseReply, StoredValue, Usage, UsageTracker } from './usage-tracker';

/** What is said of the stored write when it is committed. */
export interface CommitDetails {
  /** See CommitRequest.version in the tracker's port. */
  readonly version?: number;
  /** For trackers that keep values: stored in the same atomic step. */
  readonly value?: StoredValue;
}

export type ReservationState =
  'open' | 'settling' | 'committed' | 'refused' | 'bounced' | 'released';

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
    /** Told once, when the ledger has settled it. */
    private readonly onSettled?: () => void,
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
   * @throws QuotaUnavailableError when the store did not answer; the commit may be tried again.
   * @throws Error when it was settled before.
   */
  async commit(actual?: number, details?: CommitDetails): Promise<CommitReply | null> {
    this.begin('commit');
    if (this.tracker === null) {
      this.current = 'committed';
      return null;
    }
    const { tenant, id, key, bytes, ttlMs, limits, mode, generation } = this.fields;
    try {
      const reply = await this.tracker.commit({
        tenant,
        id,
        ...(key !== undefined && { key }),
        bytes: actual ?? bytes,
        limits,
        enforce: mode === 'enforce',
        generation,
        ...(ttlMs !== undefined && { ttlMs }),
        ...details,
      });
      this.current = reply.outcome;
      this.onSettled?.();
      const asAnnounced = reply.outcome === 'committed' && (actual ?? bytes) === bytes;
      if (!asAnnounced && reply.outcome !== 'bounced') this.settled = reply.usage;
      return reply;
    } catch (error) {
      this.current = 'open';
      throw error;
    }
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
    try {
      const reply = await this.tracker.release(this.fields.tenant, this.fields.id);
      this.current = 'released';
      this.onSettled?.();
      this.settled = reply.usage;
      return reply;
    } catch (error) {
      this.current = 'open';
      throw error;
    }
  }

  private begin(what: string): void {
    if (this.current !== 'open') {
      throw new Error(`Cannot ${what} reservation ${this.id}: it is ${this.current} already.`);
    }
    this.current = 'settling';
  }
}
