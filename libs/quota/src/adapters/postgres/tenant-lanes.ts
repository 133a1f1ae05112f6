interface Ticket<C, R> {
  readonly call: C;
  /** Goes by itself, whatever waits beside it. */
  readonly alone: boolean;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
  timer?: NodeJS.Timeout;
}

interface Lane<C, R> {
  readonly waiting: Ticket<C, R>[];
  running: number;
  /** Of those running, the ones that take too long to be waited for. */
  slow: number;
}

/** The results in the order of the calls; or `apart`: nothing was done, and each has to be asked alone. */
export type Together<R> = readonly R[] | 'apart';

export interface LaneOptions<C, R> {
  /** Works of one tenant that run at a time. */
  readonly width: number;
  /** Works that may run beside those when they are slow. */
  readonly spare: number;
  /** Calls in one work, at most. */
  readonly most: number;
  /** ms a call waits for its turn. */
  readonly waitMs: number;
  /** What it throws is so for all of its calls. */
  readonly work: (calls: readonly C[]) => Promise<Together<R>>;
}

/** ms after which a work is slow: the calls of a request have 200 to 420 ms in all. */
const SLOW_MS = 100;

/**
 * Lets only so many works of one tenant in this process run at a time, and joins the calls that had to
 * wait for them. They take turns in the database anyway, and each that waits there has a connection
 * meanwhile: a tenant whose row is held would soon have the whole pool, and every other tenant would
 * wait with it. Where nobody waits nothing is joined, and no call waits for others to come.
 */
export class TenantLanes<C, R> {
  private readonly lanes = new Map<string, Lane<C, R>>();

  constructor(private readonly options: LaneOptions<C, R>) {}

  /** @throws Error when it is not the call's turn in time; nothing of it was done then. */
  run(tenant: string, call: C): Promise<R> {
    const lane = this.lanes.get(tenant) ?? { waiting: [], running: 0, slow: 0 };
    this.lanes.set(tenant, lane);
    return new Promise((resolve, reject) => {
      lane.waiting.push(this.inTime(lane, { call, alone: false, resolve, reject }));
      this.go(tenant, lane);
    });
  }

  private go(tenant: string, lane: Lane<C, R>): void {
    const { width, spare } = this.options;
    while (lane.waiting.length > 0 && lane.running < width + Math.min(lane.slow, spare)) {
      lane.running++;
      void this.serve(tenant, lane, this.next(lane));
    }
    if (lane.running === 0) this.lanes.delete(tenant);
  }

  private async serve(tenant: string, lane: Lane<C, R>, tickets: Ticket<C, R>[]): Promise<void> {
    let slow = 0;
    const timer = setTimeout(() => {
      slow = 1;
      lane.slow++;
      this.go(tenant, lane);
    }, SLOW_MS);
    try {
      const results = await this.options.work(tickets.map(({ call }) => call));
      if (results === 'apart') this.putBack(lane, tickets);
      else tickets.forEach(({ resolve }, i) => resolve(results[i] as R));
    } catch (error) {
      for (const { reject } of tickets) reject(error);
    }
    clearTimeout(timer);
    lane.slow -= slow;
    lane.running--;
    this.go(tenant, lane);
  }

  /** Those who wait, in their order, up to one that goes alone. */
  private next({ waiting }: Lane<C, R>): Ticket<C, R>[] {
    const stop = waiting.findIndex(({ alone }) => alone);
    const together = stop === -1 ? waiting.length : Math.max(stop, 1);
    const tickets = waiting.splice(0, Math.min(together, this.options.most));
    for (const { timer } of tickets) clearTimeout(timer);
    return tickets;
  }

  private putBack(lane: Lane<C, R>, tickets: readonly Ticket<C, R>[]): void {
    const apart = tickets.map((ticket) => this.inTime(lane, { ...ticket, alone: true }));
    lane.waiting.unshift(...apart);
  }

  private inTime({ waiting }: Lane<C, R>, ticket: Ticket<C, R>): Ticket<C, R> {
    ticket.timer = setTimeout(() => {
      waiting.splice(waiting.indexOf(ticket), 1);
      ticket.reject(new Error('Other calls for this tenant take too long.'));
    }, this.options.waitMs);
    return ticket;
  }
}
