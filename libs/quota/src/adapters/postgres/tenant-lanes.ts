interface Lane {
  running: number;
  readonly waiting: (() => void)[];
}

/**
 * Lets only so many calls of one tenant in this process run at a time. They take turns in the
 * database anyway, and each that waits there has a connection meanwhile: a tenant whose row is held
 * would soon have the whole pool, and every other tenant would wait with it.
 */
export class TenantLanes {
  private readonly lanes = new Map<string, Lane>();

  constructor(
    private readonly width: number,
    /** ms a call waits for those before it. */
    private readonly waitMs: number,
  ) {}

  /** @throws Error when it is not the call's turn in time; nothing of it was done then. */
  async take<T>(tenant: string, work: () => Promise<T>): Promise<T> {
    const lane = this.lanes.get(tenant) ?? { running: 0, waiting: [] };
    this.lanes.set(tenant, lane);
    if (lane.running >= this.width) await this.turn(lane);
    else lane.running++;
    try {
      return await work();
    } finally {
      const next = lane.waiting.shift();
      // The place goes on to the next, so that no newcomer can take it.
      if (next) next();
      else if (--lane.running === 0) this.lanes.delete(tenant);
    }
  }

  private turn(lane: Lane): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        lane.waiting.splice(lane.waiting.indexOf(go), 1);
        reject(new Error('Other calls for this tenant take too long.'));
      }, this.waitMs);
      lane.waiting.push(go);
    });
  }
}
