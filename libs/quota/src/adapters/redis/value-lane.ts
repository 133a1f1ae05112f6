import { setTimeout as pause } from 'node:timers/promises';
import { BYTES_PER_MB, QuotaUnavailableError } from '../../core';
import { RedisCalls, type RedisClient } from './redis-calls';
import { RedisScripts } from './redis-scripts';

/** Values up to here travel with the ledger's own commands: they delay nobody. */
export const SMALL_VALUE_BYTES = 65_536;

/** Bytes of values under way at once; what is more waits its turn in this process, not in a socket. */
const MAX_UNDER_WAY_BYTES = 32 * BYTES_PER_MB;

/** So long a value waits for its turn, in ms, before the write is given up unsent. */
const MAX_WAIT_MS = 10_000;

/** Time granted for each MB under way, in ms; measured on a loaded machine of two cores: up to 60. */
const MS_PER_MB = 100;

const CONNECT_POLL_MS = 5;

/** Sends one call that carries a value, on these scripts, with this deadline. */
export type Carried<T> = (scripts: RedisScripts, deadline: number) => Promise<T>;

/**
 * The way of large values: a connection of its own, so that a hundred MB on their way to Redis do
 * not stand before a decision of a few bytes, and no more of them in its buffers than it can soon
 * be rid of.
 */
export class ValueLane {
  private scripts: RedisScripts | undefined;
  private underWay = 0;
  private readonly waiting: { readonly bytes: number; readonly go: () => void }[] = [];

  constructor(private readonly main: RedisCalls) {}

  /** @throws QuotaUnavailableError when its turn does not come, and what the call itself throws. */
  async carry<T>(operation: string, bytes: number, send: Carried<T>): Promise<T> {
    await this.turn(operation, bytes);
    const allowance = Math.ceil((this.underWay / BYTES_PER_MB) * MS_PER_MB);
    const deadline = this.main.newDeadline() + allowance;
    try {
      const scripts = (this.scripts ??= this.open());
      await connected(scripts.calls.client, deadline);
      return await send(scripts, deadline);
    } finally {
      this.underWay -= bytes;
      this.next();
    }
  }

  private turn(operation: string, bytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.splice(this.waiting.indexOf(waiter), 1);
        const cause = new Error('Too many large values are on their way to Redis.');
        const contact = 'unasked';
        reject(new QuotaUnavailableError(operation, { applied: 'no', cause, contact }));
      }, MAX_WAIT_MS);
      const waiter = {
        bytes,
        go: (): void => {
          clearTimeout(timer);
          this.underWay += bytes;
          resolve();
        },
      };
      this.waiting.push(waiter);
      this.next();
    });
  }

  /** First come, first served; one larger than all that may be under way goes alone. */
  private next(): void {
    for (;;) {
      const first = this.waiting[0];
      if (first === undefined) return;
      if (this.underWay > 0 && this.underWay + first.bytes > MAX_UNDER_WAY_BYTES) return;
      this.waiting.shift();
      first.go();
    }
  }

  /** Lives as long as the connection the user gave. */
  private open(): RedisScripts {
    const { client } = this.main;
    const own = client.duplicate();
    // What fails is told to whoever sent it; ioredis would print the rest.
    own.on('error', () => undefined);
    client.once('end', () => {
      own.disconnect();
    });
    return new RedisScripts(new RedisCalls(own, this.main.deadlineMs));
  }
}

/** Until the connection is there, or the deadline; the call itself then says what is wrong. */
async function connected(client: RedisClient, deadline: number): Promise<void> {
  if (client.status === 'wait') client.connect().catch(() => undefined);
  while (client.status !== 'ready' && client.status !== 'end' && performance.now() < deadline) {
    await pause(CONNECT_POLL_MS);
  }
}
