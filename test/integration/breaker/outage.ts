import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { QuotaObserver, StoreName, StoreState } from '@app/quota';
import { percentile, startLoad, startStallMeter, waitUntil } from '../../support';

/** What an outage looked like from outside; all in ms. */
export interface OutageFigures {
  readonly openAfterMs: number;
  /** From when the server answered again; 0 when the breaker was faster than the test's own look. */
  readonly closedAfterMs: number;
  /** Of calls that began after it had opened and before it closed for good. */
  readonly p99WhileOpenMs: number;
  readonly slowestMs: number;
  /** The longest that the test's own process stood still meanwhile. */
  readonly stallMs: number;
  readonly callsWhileOpen: number;
}

interface Outage {
  readonly observer: QuotaObserver;
  readonly store: StoreName;
  readonly call: (n: number) => Promise<unknown>;
  /** Resolves when the server is gone; its beginning counts. */
  readonly begin: () => Promise<void>;
  /** Resolves when the server answers again. */
  readonly end: () => Promise<void>;
  readonly lastsMs: number;
}

/** Causes an outage under load, and measures it. */
export async function measureOutage(outage: Outage): Promise<OutageFigures> {
  const changes: { state: StoreState; at: number }[] = [];
  outage.observer.on('store', ({ store, state }) => {
    if (store === outage.store) changes.push({ state, at: performance.now() });
  });
  const stall = startStallMeter();
  const end = startLoad(40, outage.call);
  try {
    await pause(200);
    const wentAt = performance.now();
    await outage.begin();
    await waitUntil(() => changes.length > 0);
    await pause(Math.max(0, outage.lastsMs - (performance.now() - wentAt)));
    await outage.end();
    const backAt = performance.now();
    await waitUntil(() => changes.at(-1)?.state === 'closed');
    await pause(100);
    const samples = await end();
    const [opened, closed] = [changes[0]?.at ?? NaN, changes.at(-1)?.at ?? NaN];
    const open = samples.filter(({ startedAt }) => startedAt > opened && startedAt < closed);
    const figures = {
      openAfterMs: Math.round(opened - wentAt),
      closedAfterMs: Math.max(0, Math.round(closed - backAt)),
      p99WhileOpenMs: percentile(
        open.map(({ tookMs }) => tookMs),
        99,
      ),
      slowestMs: Math.round(Math.max(...samples.map(({ tookMs }) => tookMs))),
      callsWhileOpen: open.length,
      stallMs: Math.round(stall()),
    };
    if (process.env['QUOTA_FIGURES'] !== undefined)
      process.stderr.write(`${JSON.stringify({ ...figures, changes: changes.length })}\n`);
    return figures;
  } finally {
    stall();
    await end();
  }
}

/**
 * How long each answer takes from here on, in ms, from the request's headers to the answer's end.
 * Not as the client sees it, which is in the test's process too: on a busy machine its first requests
 * took 500 ms with nothing away, and later ones 300 ms more than the server saw.
 */
export function serverTimes(server: Server): number[] {
  const took: number[] = [];
  server.on('request', (_request: IncomingMessage, response: ServerResponse) => {
    const began = performance.now();
    response.once('finish', () => took.push(performance.now() - began));
  });
  return took;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
