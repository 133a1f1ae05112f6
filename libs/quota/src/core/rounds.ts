/** A round begins this share of the interval after the one before, at least, and never later than it. */
const EARLIEST = 0.75;

/** `more`: the next round begins at once. `elsewhere`: another instance is at it; look again halfway. */
export type RoundResult = 'done' | 'more' | 'elsewhere';

const PAUSES: Readonly<Record<RoundResult, number>> = { done: 1, more: 0, elsewhere: 0.5 };

/**
 * Work that comes round: one at a time, at a jittered interval so that instances don't move in step,
 * until it is stopped. A round that fails is told of and does not end the rounds.
 */
export class Rounds {
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private stopped = false;

  constructor(
    private readonly intervalMs: number,
    private readonly work: () => Promise<RoundResult>,
    private readonly onError: (error: unknown) => void,
  ) {}

  start(): void {
    this.plan(this.intervalMs);
  }

  /** No round begins any more; resolves when the one under way is over. */
  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.running;
  }

  private plan(ms: number): void {
    if (this.stopped) return;
    const pause = ms * (EARLIEST + Math.random() * (1 - EARLIEST));
    this.timer = setTimeout(() => {
      this.running = this.round();
    }, pause).unref();
  }

  private async round(): Promise<void> {
    let result: RoundResult = 'done';
    try {
      result = await this.work();
    } catch (error) {
      this.onError(error);
    }
    this.plan(this.intervalMs * PAUSES[result]);
  }
}
