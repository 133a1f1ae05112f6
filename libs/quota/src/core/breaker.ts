import { QuotaUnavailableError, type StoreContact } from './errors';

export type StoreState = 'closed' | 'half-open' | 'open';

/** Time and chance, so that tests can have their own. */
export interface BreakerClock {
  /** Runs `task` once after `ms`; returns what calls it off. */
  after(ms: number, task: () => void): () => void;
  /** From 0 to below 1. */
  random(): number;
}

/** Word from elsewhere, such as a client's connection. */
export interface BreakerSigns {
  /** The connection is lost. Calls under way may be waiting for it to come back, and say so late. */
  readonly lost: (cause: unknown) => void;
  /** The store may be back: worth a probe. */
  readonly back: () => void;
}

export interface BreakerOptions {
  /** Name of what stands behind it, for errors: `redis`, `postgres`. */
  readonly store: string;
  /** The cheapest call that shows that the store serves again. Run while open, one at a time. */
  readonly probe: () => Promise<unknown>;
  /**
   * For a store of several servers, of which one may be away alone: run before silence opens it, at
   * most 200 ms. It stays closed when this resolves.
   */
  readonly confirm?: () => Promise<unknown>;
  /** Failures in a row after which it opens; 3 unless set. A lost connection opens it at once. */
  readonly failures?: number;
  /** Ms, at most, until the first probe; doubled for each further one. 50 unless set. */
  readonly firstPauseMs?: number;
  /** Ms, at most, between two probes; 800 unless set. */
  readonly longestPauseMs?: number;
  /** Ms after which a probe counts as failed; 500 unless set, above the deadline of a call. */
  readonly probeDeadlineMs?: number;
  /** Subscribes to what is known of the store without asking it; returns what ends that. */
  readonly signs?: (signs: BreakerSigns) => () => void;
  readonly onChange?: (state: StoreState, cause: unknown) => void;
  readonly clock?: BreakerClock;
}

/** From the first failure to the return of the store. */
interface Outage {
  readonly cause: unknown;
  probes: number;
  /** There was a sign of its return since the last probe began. */
  sign: boolean;
}

type State =
  | { readonly name: 'closed'; failures: number; probes: number; confirming: boolean }
  | { readonly name: 'open'; readonly outage: Outage; readonly cancel: () => void }
  | { readonly name: 'half-open'; readonly outage: Outage; readonly cancel: () => void };

type Closed = Extract<State, { name: 'closed' }>;
type HalfOpen = Extract<State, { name: 'half-open' }>;

/** Calls go on meanwhile, each to its own deadline. */
const CONFIRM_MS = 200;

/** After a sign of return the probes of all instances are spread over so many ms. */
const SIGN_SPREAD_MS = 100;

/**
 * Holds no process back from its end. After a stall of this process its timers run before its
 * sockets are read, in which an answer may lie: they get one look.
 */
const systemClock: BreakerClock = {
  after(ms, task) {
    let look: NodeJS.Immediate | undefined;
    const timer = setTimeout(() => (look = setImmediate(task).unref()), ms).unref();
    return () => {
      clearTimeout(timer);
      clearImmediate(look);
    };
  },
  random: Math.random,
};

/**
 * Spares callers the wait for a store that is away. While it is open every call fails at once,
 * without I/O; a probe of its own, never a caller's write, finds out when the store is back. The
 * pauses between probes grow and are jittered. While closed it keeps no timer.
 */
export class Breaker {
  private current: State = closed();
  private stopped = false;
  private readonly clock: BreakerClock;
  private readonly endSigns: (() => void) | undefined;

  constructor(private readonly options: BreakerOptions) {
    this.clock = options.clock ?? systemClock;
    this.endSigns = options.signs?.({
      lost: (cause) => {
        if (this.current.name === 'closed') this.failed(this.current, 'lost', cause);
      },
      back: () => {
        this.maybeBack();
      },
    });
  }

  get state(): StoreState {
    return this.current.name;
  }

  /**
   * Runs the work and learns from how it ends. How long it took does not matter, nor do errors that
   * are the caller's: only a QuotaUnavailableError of a store that did not answer is a failure.
   *
   * @throws QuotaUnavailableError (`applied: 'no'`) at once unless closed, and what the work throws.
   */
  async run<T>(operation: string, work: () => Promise<T>): Promise<T> {
    const state = this.current;
    if (this.stopped) return work();
    if (state.name !== 'closed') throw this.refusal(operation, state.outage.cause);
    try {
      const result = await work();
      this.answered(state);
      return result;
    } catch (error) {
      const contact = contactOf(error);
      if (contact === 'answered') this.answered(state);
      else if (contact !== undefined && contact !== 'unasked') this.failed(state, contact, error);
      throw error;
    }
  }

  /** Ends the probing; from here on calls pass as if there were no breaker. */
  stop(): void {
    this.stopped = true;
    this.endSigns?.();
    if (this.current.name !== 'closed') this.current.cancel();
  }

  private refusal(operation: string, cause: unknown): QuotaUnavailableError {
    return new QuotaUnavailableError(operation, {
      applied: 'no',
      contact: 'lost',
      cause: new Error(`${this.options.store} is away, and not asked until it is back`, { cause }),
    });
  }

  private answered(state: Closed): void {
    state.failures = 0;
    state.probes = 0;
  }

  /** Counts only in the state the call began in: one from before an outage says nothing of now. */
  private failed(state: Closed, contact: StoreContact, cause: unknown): void {
    if (this.current !== state || this.stopped) return;
    state.failures += 1;
    if (contact !== 'lost' && state.failures < this.threshold) return;
    if (contact === 'lost' || this.options.confirm === undefined) this.openFrom(state, cause);
    else this.confirm(state, this.options.confirm, cause);
  }

  private get threshold(): number {
    return this.options.failures ?? 3;
  }

  private openFrom(state: Closed, cause: unknown): void {
    // Nothing succeeded since the last outage: it is the same one, and the pauses go on growing.
    this.open({ cause, probes: state.probes, sign: false });
  }

  /** One at a time, and the next not before its time is over, since failures may go on coming. */
  private confirm(state: Closed, ask: () => Promise<unknown>, cause: unknown): void {
    if (state.confirming) return;
    state.confirming = true;
    let answered = false;
    const openUnlessAnswered = (): void => {
      if (answered || this.current !== state || this.stopped) return;
      // A call may have been answered meanwhile.
      if (state.failures >= this.threshold) this.openFrom(state, cause);
    };
    this.clock.after(CONFIRM_MS, () => {
      state.confirming = false;
      openUnlessAnswered();
    });
    ask().then(() => {
      answered = true;
      state.failures = 0;
    }, openUnlessAnswered);
  }

  private open(outage: Outage): void {
    const cancel = this.clock.after(this.pause(outage), () => {
      this.halfOpen(outage);
    });
    this.enter({ name: 'open', outage, cancel });
  }

  /** Half of the pause is certain, the other half is chance. */
  private pause({ probes, sign }: Outage): number {
    const { firstPauseMs = 50, longestPauseMs = 800 } = this.options;
    const chance = this.clock.random();
    const longest = Math.min(firstPauseMs * 2 ** Math.min(probes, 30), longestPauseMs);
    return sign ? chance * Math.min(SIGN_SPREAD_MS, longest) : longest * (0.5 + chance / 2);
  }

  private halfOpen(outage: Outage): void {
    outage.probes += 1;
    outage.sign = false;
    const cancel = this.clock.after(this.options.probeDeadlineMs ?? 500, () => {
      this.stillAway(state);
    });
    const state: HalfOpen = { name: 'half-open', outage, cancel };
    this.enter(state);
    this.probe().then(
      () => {
        this.back(outage);
      },
      (error: unknown) => {
        if (contactOf(error) === 'answered') this.back(outage);
        else this.stillAway(state);
      },
    );
  }

  // Async, so that a probe that throws outright is one that failed.
  private async probe(): Promise<void> {
    await this.options.probe();
  }

  /** An answer that comes after the probe's deadline is an answer still. */
  private back(outage: Outage): void {
    if (this.stopped || this.current.name === 'closed' || this.current.outage !== outage) return;
    this.current.cancel();
    this.enter(closed(outage.probes));
  }

  private stillAway(state: HalfOpen): void {
    if (this.current !== state || this.stopped) return;
    state.cancel();
    this.open(state.outage);
  }

  private maybeBack(): void {
    if (this.stopped || this.current.name === 'closed' || this.current.outage.sign) return;
    const { name, outage, cancel } = this.current;
    outage.sign = true;
    // A probe on its way may have set out too early: then the next one follows soon.
    if (name === 'half-open') return;
    cancel();
    this.open(outage);
  }

  private enter(next: State): void {
    const changed = next.name !== this.current.name;
    this.current = next;
    if (!changed) return;
    this.options.onChange?.(next.name, next.name === 'closed' ? undefined : next.outage.cause);
  }
}

function closed(probes = 0): Closed {
  return { name: 'closed', failures: 0, probes, confirming: false };
}

/** Undefined: the error says nothing of the store. */
function contactOf(error: unknown): StoreContact | undefined {
  return error instanceof QuotaUnavailableError ? error.contact : undefined;
}
