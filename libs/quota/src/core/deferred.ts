import { QuotaUnavailableError } from './errors';

/** Kept at most; what is beyond is dropped, oldest first, and comes right by deadline or reconciliation. */
const MOST = 10_000;

/** After so many failures in one round the rest waits for the next, since each may take its deadline. */
const MOST_FAILURES = 20;

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

  /**
   * Sends them in their order. One that finds its store away still goes to the end, so that it is in
   * nobody's way; one that fails for another reason never will succeed, and is given up.
   *
   * @returns the errors of those that were given up
   */
  async send(): Promise<unknown[]> {
    const hopeless: unknown[] = [];
    let failures = 0;
    for (const [id, task] of [...this.tasks]) {
      if (failures === MOST_FAILURES) break;
      // Another one of the same id may have come meanwhile.
      if (this.tasks.get(id) !== task) continue;
      this.tasks.delete(id);
      try {
        await task();
      } catch (error) {
        failures += 1;
        if (!(error instanceof QuotaUnavailableError)) hopeless.push(error);
        else if (!this.tasks.has(id)) this.add(id, task);
      }
    }
    return hopeless;
  }
}
