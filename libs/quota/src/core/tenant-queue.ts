/** Waiting at once; what is left out is found again by the next sweep. */
const MOST_WAITING = 1_000;

/**
 * Tenants that something is to be done for in the background, each at most once at a time, so many at
 * once. What fails is told, and no other tenant waits for it.
 */
export class TenantQueue<T> {
  private readonly waiting = new Map<string, T>();
  private readonly lanes = new Set<Promise<void>>();
  private readonly underWay = new Set<string>();
  private stopped = false;

  constructor(
    private readonly atOnce: number,
    private readonly work: (tenant: string, task: T) => Promise<void>,
    private readonly onError: (error: unknown, tenant: string) => void,
  ) {}

  /** Nothing happens where the tenant waits or is under way already, too many wait, or after the stop. */
  add(tenant: string, task: T): void {
    const known = this.waiting.has(tenant) || this.underWay.has(tenant);
    if (this.stopped || known || this.waiting.size >= MOST_WAITING) return;
    this.waiting.set(tenant, task);
    // Not the lanes: one that has just found nobody waiting counts among them for a moment more.
    if (this.underWay.size < this.atOnce) this.openLane();
  }

  /** Resolves when nobody is waiting or under way. */
  async idle(): Promise<void> {
    while (this.lanes.size > 0) await Promise.all(this.lanes);
  }

  /** Begins no other; resolves when those under way are over. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.waiting.clear();
    await this.idle();
  }

  private openLane(): void {
    const lane = this.drain().finally(() => this.lanes.delete(lane));
    this.lanes.add(lane);
  }

  private async drain(): Promise<void> {
    for (;;) {
      const [next] = this.waiting;
      if (next === undefined) return;
      const [tenant, task] = next;
      this.waiting.delete(tenant);
      this.underWay.add(tenant);
      try {
        await this.work(tenant, task);
      } catch (error) {
        this.onError(error, tenant);
      } finally {
        this.underWay.delete(tenant);
      }
    }
  }
}
