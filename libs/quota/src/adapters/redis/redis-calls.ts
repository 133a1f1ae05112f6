import { isNativeError } from 'node:util/types';
import type { Cluster, Redis } from 'ioredis';
import { InvalidWriteError, Patience, QuotaUnavailableError } from '../../core';
import { classify, isOfThisCommand } from './failures';

/** Any client of ioredis, given by the user. Recommended options: {@link quotaRedisOptions}. */
export type RedisClient = Redis | Cluster;

/**
 * More than half of what a request has, so that a Redis that hangs leaves time for the bank. Measured
 * figures of a healthy one: docs/decisions/0014-circuit-breaker.md.
 */
export const DEFAULT_DEADLINE_MS = 250;

const MOVING_PAUSE_MS = 10;
const RECONNECT_POLL_MS = 10;

/** A connection on which nothing was answered this long, though asked, is dropped for a new one. */
const SILENCE_MS = 5_000;

/**
 * A silence is one, however many calls meet it: one that begins in it waits until its end would be
 * over, but not less than this. Otherwise the steps of a request would each wait the whole of it.
 */
const SHORTEST_DEADLINE_MS = 100;

/** When the first call was made that nothing was answered after. */
interface Silence {
  since: number | undefined;
}

/** Of each client, whatever number of callers it has. */
const silences = new WeakMap<RedisClient, Silence>();

function silenceOf(client: RedisClient): Silence {
  const silence = silences.get(client) ?? { since: undefined };
  silences.set(client, silence);
  return silence;
}

/** A tick that is so late, in ms, was a stall of this process. */
const STALL_MS = 50;

/**
 * The wait for one call. A stall of this process is not Redis' silence: what was called before it may
 * have gone out only after it.
 */
class CallPatience extends Patience {
  private readonly began = performance.now();

  constructor(
    private deadline: number,
    protected readonly onOver: () => void,
  ) {
    super();
    this.begin(deadline <= this.began, this.began);
  }

  protected isOver(now: number, lateMs: number): boolean {
    if (lateMs > STALL_MS) this.deadline += Math.min(lateMs, now - this.began);
    return now >= this.deadline - Patience.marginMs;
  }
}

/** One call under way: whether it may have taken effect, and when nobody waits for it any more. */
interface Attempt {
  readonly operation: string;
  applied: 'no' | 'unknown';
  over: boolean;
}

/**
 * Sends commands to Redis with a deadline of their own: `commandTimeout` of ioredis neither covers
 * the wait for a connection nor all of a retry. Whatever happens, the promise settles in time.
 */
export class RedisCalls {
  private readonly silence: Silence;

  constructor(
    readonly client: RedisClient,
    readonly deadlineMs: number = DEFAULT_DEADLINE_MS,
    /** Where the client is one node of a Cluster: the Cluster, whose state says whether all is lost. */
    private readonly whole: RedisClient = client,
  ) {
    if (!Number.isInteger(deadlineMs) || deadlineMs < 1) {
      throw new RangeError('deadlineMs is not usable. Allowed: whole milliseconds, at least 1.');
    }
    this.silence = silenceOf(client);
  }

  /** A point in time for {@link guard}, on the clock of `performance.now()`. */
  newDeadline(): number {
    return performance.now() + this.deadlineMs;
  }

  /**
   * Sends a command that may be sent twice. An unknown outcome is tried once more, a slot on its way
   * until it has arrived, both within the deadline.
   *
   * @throws QuotaUnavailableError saying whether the command may have taken effect.
   */
  guard<T>(
    operation: string,
    send: () => Promise<T>,
    deadline: number = this.deadlineInSilence(),
  ): Promise<T> {
    const attempt: Attempt = { operation, applied: 'no', over: false };
    this.silence.since ??= performance.now();
    return new Promise<T>((resolve, reject) => {
      const patience = new CallPatience(deadline, () => {
        attempt.over = true;
        this.dropWhenSilent();
        reject(this.unavailable(attempt, new Error('No answer came before the deadline.')));
      });
      this.pursue(attempt, send).then(
        (value) => {
          attempt.over = true;
          patience.end();
          resolve(value);
        },
        (error: unknown) => {
          attempt.over = true;
          patience.end();
          // The deadline may have passed meanwhile; then this is not heard.
          // Node's own errors have another realm's Error where the code runs in a sandbox, as under Jest.
          reject(isNativeError(error) ? error : new Error(String(error)));
        },
      );
    });
  }

  private deadlineInSilence(): number {
    const now = performance.now();
    const shortest = Math.min(SHORTEST_DEADLINE_MS, this.deadlineMs);
    return Math.max((this.silence.since ?? now) + this.deadlineMs, now + shortest);
  }

  private async pursue<T>(attempt: Attempt, send: () => Promise<T>): Promise<T> {
    let maybeApplied = false;
    for (;;) {
      attempt.applied = 'unknown';
      try {
        const answer = await send();
        this.silence.since = undefined;
        return answer;
      } catch (error) {
        const failure = classify(error);
        if (failure === 'unsent') this.dropWhenSilent();
        else if (failure !== 'unknown') this.silence.since = undefined;
        if (failure === 'argument') throw argumentError(error);
        if (failure !== 'unknown') attempt.applied = maybeApplied ? 'unknown' : 'no';
        if (failure === 'broken') attempt.applied = 'unknown';
        const again = failure === 'moving' || (failure === 'unknown' && !maybeApplied);
        maybeApplied ||= failure === 'unknown';
        if (!again || attempt.over) throw this.unavailable(attempt, error);
        if (failure === 'moving') await pause(MOVING_PAUSE_MS);
        else await this.connected(attempt);
      }
    }
  }

  /**
   * A peer that vanished without a word leaves a connection that TCP gives up after a quarter of an
   * hour, and one that hangs while it is asked whether it is ready leaves ioredis waiting for ever.
   */
  private dropWhenSilent(): void {
    const { status } = this.client;
    if (status !== 'ready' && status !== 'connect') return;
    if (this.silence.since === undefined || performance.now() - this.silence.since < SILENCE_MS)
      return;
    this.silence.since = undefined;
    this.client.disconnect(true);
  }

  /** Until the client has a connection again, or the attempt is over. */
  private async connected(attempt: Attempt): Promise<void> {
    while (this.client.status !== 'ready' && this.client.status !== 'end' && !attempt.over) {
      await pause(RECONNECT_POLL_MS);
    }
    if (attempt.over) throw this.unavailable(attempt, new Error('The connection was lost.'));
  }

  private unavailable(attempt: Attempt, cause: unknown): QuotaUnavailableError {
    const { operation, applied } = attempt;
    // A Cluster is ready as long as one of its nodes is: then only a part of it is away.
    const silent = this.whole.status === 'ready' ? 'silent' : 'lost';
    const contact = isOfThisCommand(cause) ? 'answered' : silent;
    return new QuotaUnavailableError(operation, { applied, cause, contact });
  }
}

function argumentError(error: unknown): InvalidWriteError {
  const text = isNativeError(error) ? error.message : '';
  const where = /^QUOTAARG (\w+)/.exec(text)?.[1] ?? 'argument';
  return new InvalidWriteError(
    { where, allowed: 'what the operation documents' },
    `The ledger does not take this value of "${where}".`,
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
