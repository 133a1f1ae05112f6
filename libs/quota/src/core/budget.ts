import { isNativeError } from 'node:util/types';
import { QuotaUnavailableError } from './errors';
import { Patience } from './shared-clock';

/**
 * Ms that a request waits for the stores, over all its steps; an answer is then there within half a
 * second, of which the rest is for HTTP. Each step has a deadline of its own in the adapters, and
 * three of them in a row add up to more than a second (measured: 935 ms with 300 ms of delay on the
 * way to Redis).
 */
export const ANSWER_MS = 420;

/** A tick that is so late was a stall of this process; on a busy machine it is late by less. */
const STALL_MS = 200;

/** What becomes of a step that nobody waits for any more. */
export interface StepOptions<T> {
  /** Whether the step may still take effect; `unknown` unless set. */
  readonly applied?: 'no' | 'unknown';
  /** Told of a result that came too late. */
  readonly onLate?: (result: T) => void;
}

/**
 * One deadline for all that somebody waits for, in however many steps. Only waiting counts: what a
 * client takes for its body, or a handler for its work, does not. A step that is given up goes on by
 * itself, since others may be waiting for it as well, and its own deadline ends it.
 *
 * The longest stall of this process is not counted, since an embedded database may have been at work
 * in it, and a store that answered meanwhile was not silent. Only the longest, and no short one: on a
 * busy machine they would add up (measured: 709 ms).
 */
export class Budget {
  private left: number;
  /** The longest stall so far, in ms. */
  private stall = 0;

  constructor(ms: number = ANSWER_MS) {
    this.left = ms;
  }

  /** Nothing is left: what is begun now is looked at once, and not waited for. */
  get isOver(): boolean {
    return this.left <= 0;
  }

  /** Begins a step, unless the time is over. @throws QuotaUnavailableError (`no`), and as {@link wait}. */
  step<T>(operation: string, work: () => Promise<T>, options?: StepOptions<T>): Promise<T> {
    if (this.isOver) return Promise.reject(tooLate(operation, 'no'));
    return this.wait(operation, work(), options);
  }

  /**
   * Waits for a step that was begun whether or not there was time, for what is there already at least.
   *
   * @throws QuotaUnavailableError when the time is over, and what the step throws.
   */
  wait<T>(operation: string, work: Promise<T>, options?: StepOptions<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const patience = new StepPatience(this, () => {
        reject(tooLate(operation, options?.applied ?? 'unknown'));
      });
      work.then(
        (result) => {
          if (patience.end()) resolve(result);
          else options?.onLate?.(result);
        },
        (error: unknown) => {
          patience.end();
          // Node's own errors have another realm's Error where the code runs in a sandbox, as under Jest.
          reject(isNativeError(error) ? error : new Error(String(error)));
        },
      );
    });
  }

  /** Counts time off that began to be waited through at `began`, in ms of `performance.now()`. */
  spend(began: number, now: number): void {
    const late = now - began - Patience.tickMs;
    const longer = late > STALL_MS ? Math.max(this.stall, late) : this.stall;
    const left = this.left + longer - this.stall - (now - began);
    this.left = left <= Patience.marginMs ? 0 : left;
    this.stall = longer;
  }
}

/** One wait for a step of a budget; waiting is what it is spent by. */
class StepPatience extends Patience {
  private began = performance.now();

  constructor(
    private readonly budget: Budget,
    protected readonly onOver: () => void,
  ) {
    super();
    this.begin(budget.isOver, this.began);
  }

  protected isOver(now: number): boolean {
    this.budget.spend(this.began, now);
    this.began = now;
    return this.budget.isOver;
  }

  override end(): boolean {
    if (!super.end()) return false;
    this.budget.spend(this.began, performance.now());
    return true;
  }
}

/** Gives up on a read after `ms`, counted as a {@link Budget} counts. */
export function inTime<T>(operation: string, ms: number, work: Promise<T>): Promise<T> {
  return new Budget(ms).wait(operation, work, { applied: 'no' });
}

/**
 * Waits so many ms for work of which what is late goes on by itself, and may take effect.
 *
 * @throws QuotaUnavailableError (`unknown`)
 */
export function soon<T>(operation: string, ms: number, work: Promise<T>): Promise<T> {
  return new Budget(ms).wait(operation, work);
}

function tooLate(operation: string, applied: 'no' | 'unknown'): QuotaUnavailableError {
  const cause = new Error('No answer came in the time that a request has.');
  return new QuotaUnavailableError(operation, { applied, cause });
}
