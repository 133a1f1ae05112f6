/** Ms between two looks at those who wait. */
const TICK_MS = 10;

/**
 * A tick that is so late, in ms, may never come: it was left to timers that somebody has replaced since,
 * as tests do.
 */
const LOST_MS = 100;

/**
 * One timer for all that wait with a deadline, where one for each would cost every request several
 * that never go off. It is as exact as its tick, and stands still while nobody waits.
 */
class SharedClock {
  private readonly waiting = new Set<Patience>();
  private timer: NodeJS.Timeout | undefined;
  private armedAt = 0;

  /** @param now ms of `performance.now()` */
  add(one: Patience, now: number): void {
    this.waiting.add(one);
    if (this.timer === undefined || Math.abs(now - this.armedAt) > LOST_MS) this.arm(now);
  }

  remove(one: Patience): void {
    this.waiting.delete(one);
  }

  private readonly tick = (): void => {
    const now = performance.now();
    const lateMs = Math.max(0, now - this.armedAt - TICK_MS);
    for (const one of this.waiting) if (!one.look(now, lateMs)) this.waiting.delete(one);
    this.timer = undefined;
    if (this.waiting.size > 0) this.arm(now);
  };

  private arm(now: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(this.tick, TICK_MS);
    this.armedAt = now;
  }
}

/** The clock of this process. */
const clock = new SharedClock();

/** The wait for an answer, until it comes or there is no time left. */
export abstract class Patience {
  static readonly tickMs = TICK_MS;
  /** So early it is over: half a tick, so that it is as often too early as too late. */
  static readonly marginMs = TICK_MS / 2;
  private lastLook: NodeJS.Immediate | undefined;
  private state: 'waiting' | 'over' | 'ended' = 'waiting';

  /**
   * Whether the time is over, at ms of `performance.now()`.
   *
   * @param lateMs so late the tick came: this process stood still
   */
  protected abstract isOver(now: number, lateMs: number): boolean;

  /** Called once, when the time is over. */
  protected abstract onOver(): void;

  /**
   * @param over nothing is left from the start: it is only looked whether the answer is there
   * @param now ms of `performance.now()`
   */
  protected begin(over: boolean, now: number): void {
    if (over) this.lookOnce();
    else clock.add(this, now);
  }

  /** False: there is no time left. */
  look(now: number, lateMs: number): boolean {
    if (!this.isOver(now, lateMs)) return true;
    this.lookOnce();
    return false;
  }

  /** The answer is there. False: it came too late. */
  end(): boolean {
    if (this.state !== 'waiting') return false;
    this.state = 'ended';
    if (this.lastLook === undefined) clock.remove(this);
    else clearImmediate(this.lastLook);
    return true;
  }

  /**
   * After a stall of this process its timers run before its sockets are read, in which the answer may
   * lie: they get one look.
   */
  private lookOnce(): void {
    this.lastLook = setImmediate(() => {
      this.state = 'over';
      this.onOver();
    });
  }
}
