import { QuotaUnavailableError } from './errors';
import type { ReservationFields } from './reservation';

/** Beyond this the rest waits for the next synchronisation of all tenants. */
const MOST_TOUCHED = 100_000;

/** A write whose bytes are held, as far as it must be known to hold them once more. */
export type HeldWrite = Pick<
  ReservationFields,
  'tenant' | 'id' | 'key' | 'bytes' | 'limits' | 'generation'
>;

/** One that is open, and the ms it has left. */
export interface HeldReservation {
  readonly write: HeldWrite;
  readonly leftMs: number;
}

interface Open {
  readonly write: HeldWrite;
  readonly lapsesAt: number;
}

/**
 * The reservations this instance has open: how much they hold, and an end to them. One that its
 * owner forgot is counted until its deadline, as the ledger does. All have the same life, so the
 * first to be opened is the first to lapse.
 */
export class Holds {
  private readonly reservations = new Map<string, Open>();
  /** Open ones whose owner has given them up: they count, but nobody is going to settle them. */
  private readonly abandoned = new Set<string>();
  private touched = new Set<string>();
  private held = 0;
  private underWay = 0;
  private closed = false;
  private idle: (() => void) | undefined;

  /** @param clock ms, going on evenly */
  constructor(private readonly clock: () => number = () => performance.now()) {}

  get bytes(): number {
    this.forgetLapsed();
    return this.held;
  }

  /** Runs a decision that may open a reservation. @throws QuotaUnavailableError once drained. */
  async deciding<T>(decide: () => Promise<T>): Promise<T> {
    if (this.closed) {
      throw new QuotaUnavailableError('reserve', { applied: 'no', closing: true });
    }
    this.underWay += 1;
    try {
      return await decide();
    } finally {
      this.underWay -= 1;
      this.tellIdle();
    }
  }

  open(write: HeldWrite, lifeMs: number): void {
    this.forgetLapsed();
    this.reservations.set(write.id, { write, lapsesAt: this.clock() + lifeMs });
    this.held += write.bytes;
  }

  /** Those of one tenant, or of all (null). */
  ofTenant(tenant: string | null): HeldReservation[] {
    this.forgetLapsed();
    const now = this.clock();
    return [...this.reservations.values()]
      .filter(({ write }) => tenant === null || write.tenant === tenant)
      .map(({ write, lapsesAt }) => ({ write, leftMs: Math.ceil(lapsesAt - now) }));
  }

  isOpen(id: string): boolean {
    return this.reservations.has(id);
  }

  settle(id: string): void {
    const open = this.reservations.get(id);
    if (open === undefined) return;
    this.forget(id, open);
    this.tellIdle();
  }

  /** Goes on counting until its deadline, as in the ledger, but is not waited for. */
  abandon(id: string): void {
    if (this.reservations.has(id)) this.abandoned.add(id);
    this.tellIdle();
  }

  touch(tenant: string): void {
    if (this.touched.size < MOST_TOUCHED) this.touched.add(tenant);
  }

  takeTouched(): string[] {
    const { touched } = this;
    this.touched = new Set();
    return [...touched];
  }

  /** Lets nothing new in, and waits for what is open. False when that took longer than `limitMs`. */
  async drain(limitMs: number): Promise<boolean> {
    this.closed = true;
    this.forgetLapsed();
    if (this.isIdle()) return true;
    let timer: NodeJS.Timeout | undefined;
    const done = await new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), limitMs);
      this.idle = () => resolve(true);
    });
    clearTimeout(timer);
    return done;
  }

  private isIdle(): boolean {
    return this.underWay === 0 && this.reservations.size === this.abandoned.size;
  }

  private tellIdle(): void {
    if (this.idle !== undefined && this.isIdle()) this.idle();
  }

  private forgetLapsed(): void {
    const now = this.clock();
    for (const [id, open] of this.reservations) {
      if (open.lapsesAt > now) return;
      this.forget(id, open);
    }
  }

  private forget(id: string, { write }: Open): void {
    this.reservations.delete(id);
    this.abandoned.delete(id);
    this.held -= write.bytes;
  }
}
