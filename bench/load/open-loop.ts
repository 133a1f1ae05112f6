import { Pool } from 'undici';
import { bodyOf, sendWrite } from './send';
import type { Traffic } from './traffic';

export interface OpenLoop {
  readonly perSecond: number;
  readonly ms: number;
}

export interface OpenResult {
  /** Ms of each request, from when it was to be sent. */
  readonly latencies: number[];
  /** Ms by which the generator itself was late, of each request. */
  readonly lateness: number[];
  readonly requests: number;
}

const CONNECTIONS = 128;
const FIRST_MS = 20;

/**
 * Sends at a fixed rate whatever becomes of the answers, and counts from when a request was to be
 * sent: a server that stands still is charged for all that should have come meanwhile.
 *
 * @throws NotServedError at the first answer that is not 200.
 */
export async function openLoop(
  url: string,
  traffic: Traffic,
  { perSecond, ms }: OpenLoop,
): Promise<OpenResult> {
  const pool = new Pool(url, { connections: CONNECTIONS, pipelining: 1 });
  const body = bodyOf(traffic);
  const total = Math.round((perSecond * ms) / 1_000);
  const latencies: number[] = [];
  const lateness: number[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      const origin = performance.now() + FIRST_MS;
      let next = 0;
      const due = (n: number): number => origin + (n / perSecond) * 1_000;
      const send = (n: number): void => {
        lateness.push(performance.now() - due(n));
        sendWrite(pool, { traffic, body, n }, (problem) => {
          if (problem !== undefined) reject(problem);
          latencies.push(performance.now() - due(n));
          if (latencies.length === total) resolve();
        });
      };
      const tick = (): void => {
        const now = performance.now();
        while (next < total && due(next) <= now) send(next++);
        if (next < total) setTimeout(tick, 1);
      };
      tick();
    });
  } finally {
    await pool.destroy();
  }
  return { latencies, lateness, requests: total };
}
