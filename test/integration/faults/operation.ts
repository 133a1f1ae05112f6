import type { Reservation } from '@app/quota';
import type { App } from './app';

export const KB = 1_024;
export const actor = { actor: 'test' };

/** What was prepared, and what follows. */
export interface Step {
  /** The operation itself, with its answer; QuotaUnavailableError is one as well. */
  act(): Promise<string>;
  /** What its caller does next, with the links whole again. */
  next?(answer: string): Promise<void>;
  /** Sent again by whoever asked, until it succeeds. */
  again?(): Promise<void>;
}

export interface Operation {
  readonly name: string;
  /** Nobody waits for its answer as for a request's. */
  readonly upkeep?: boolean;
  /** Answers that a fault may bring, beside "unavailable". */
  readonly also?: readonly string[];
  prepare(app: App): Promise<Step>;
}

export function hold(app: App, key: string | undefined, bytes: number): Promise<Reservation> {
  return app.must(() => app.reserve(key, bytes), 'a reservation');
}

/** Reserves only; the application goes on with what it got. */
export function reserving(app: App, key: string | undefined, bytes: number): Step {
  let reservation: Reservation | null = null;
  return {
    act: async () => {
      reservation = await app.reserve(key, bytes);
      return reservation === null ? 'refused' : 'admitted';
    },
    next: async () => {
      if (reservation !== null) await app.store(reservation, bytes);
    },
  };
}

/** Does without Redis what the bank then has a journal of. */
export async function journaled(app: App, work: () => Promise<void>): Promise<void> {
  const { lane } = app;
  // The instance's own rounds are not to be faster than the operation.
  await lane.holdLease('fold');
  lane.links.redis.down();
  // What is sent before may be sent again by the client, and be known to the ledger as well.
  await lane.cutOff();
  await work();
  lane.links.redis.up();
  await lane.ready();
}
