/** Kept at most; what is beyond is dropped, oldest first, and comes right by deadline or reconciliation. */
const MOST = 10_000;

/**
 * What gives back bytes and found its store away, to be sent when it is there again. In this process
 * only: a hold has its deadline and an entry the reconciliation, should the process end before.
 */
export class Deferred {
  private readonly tasks = new Map<string, () => Promise<unknown>>();

  constructor(private readonly most = MOST) {}

  get size(): number {
    return this.tasks.size;
  }

  /** @param id of the operation, which makes sending it again harmless */
  add(id: string, task: () => Promise<unknown>): void {
    this.tasks.delete(id);
    this.tasks.set(id, task);
    const [oldest] = this.tasks.keys();
    if (this.tasks.size > this.most && oldest !== undefined) this.tasks.delete(oldest);
  }

  /** Sends them in their order; the one that fails, and those after it, stay. */
  async send(): Promise<void> {
    for (const [id, task] of this.tasks) {
      await task();
      this.tasks.delete(id);
    }
  }
}
