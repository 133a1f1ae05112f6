import type { CommitRequest, ReserveRequest } from './usage-tracker';

/** Begins the generation of a write that no store knows of. */
const MARK = 'outage/';

interface Write {
  readonly request: ReserveRequest;
  readonly until: number;
  /** What was stored, once it is known. */
  commit?: CommitRequest;
}

/**
 * Bytes that this process may admit, of all tenants together, while no store can be asked. They come
 * back when a store has taken the writes into its account: over-admission is at most the budget times
 * the number of instances.
 */
export class OutageBudget {
  private readonly writes = new Map<string, Write>();
  private spentBytes = 0;

  constructor(
    /** False: nothing is admitted, not even a write of no bytes. */
    private readonly allowed: boolean,
    private readonly budgetBytes: number,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  get spent(): number {
    return this.spentBytes;
  }

  static owns(generation: string): boolean {
    return generation.startsWith(MARK);
  }

  /** The write's generation, or null: the budget is spent. The same id is admitted once. */
  admit(request: ReserveRequest): string | null {
    const generation = MARK + request.id;
    if (this.writes.has(request.id)) return generation;
    this.lapse();
    if (!this.allowed || this.spentBytes + request.bytes > this.budgetBytes) return null;
    this.spentBytes += request.bytes;
    this.writes.set(request.id, { request, until: this.clock() + request.holdMs });
    return generation;
  }

  /** False: the budget has no room for what was really stored, or the write was given up before. */
  commit(request: CommitRequest): boolean {
    const write = this.writes.get(request.id);
    const more = request.bytes - (write?.commit?.bytes ?? write?.request.bytes ?? 0);
    if (write === undefined || this.spentBytes + more > this.budgetBytes) return false;
    this.spentBytes += more;
    write.commit = request;
    return true;
  }

  /** True: it was of this budget. */
  release(id: string): boolean {
    const write = this.writes.get(id);
    if (write === undefined) return false;
    if (write.commit === undefined) this.forget(id, write);
    return true;
  }

  /**
   * Charges what was stored to a store that is there again, one write after the other, until one
   * fails. Sent again with the same id after that.
   */
  async settle(charge: (commit: CommitRequest) => Promise<void>): Promise<void> {
    this.lapse();
    for (const [id, write] of this.writes) {
      if (write.commit === undefined) continue;
      await charge(write.commit);
      this.forget(id, write);
    }
  }

  private lapse(): void {
    const now = this.clock();
    for (const [id, write] of this.writes) {
      if (write.commit === undefined && write.until <= now) this.forget(id, write);
    }
  }

  private forget(id: string, { request, commit }: Write): void {
    if (this.writes.delete(id)) this.spentBytes -= commit?.bytes ?? request.bytes;
  }
}
