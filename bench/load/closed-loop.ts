import { Client } from 'undici';
import { bodyOf, sendWrite } from './send';
import type { Traffic } from './traffic';

export interface ClosedLoop {
  readonly connections: number;
  readonly ms: number;
  /** Number of the first write, so that a later slice goes on where an earlier one ended. */
  readonly from?: number;
}

export interface ClosedResult {
  /** Answers within the time. */
  readonly perSecond: number;
  /** Requests in all, those included that opened the connections and those answered after the time. */
  readonly requests: number;
}

/**
 * Each connection sends its next request when the last was answered. All are open, and were answered
 * once, before the time begins.
 *
 * @throws NotServedError at the first answer that is not 200: errors are not measured.
 */
export async function closedLoop(
  url: string,
  traffic: Traffic,
  { connections, ms, from = 0 }: ClosedLoop,
): Promise<ClosedResult> {
  const clients = Array.from({ length: connections }, () => new Client(url, { pipelining: 1 }));
  const body = bodyOf(traffic);
  let next = from;
  let answered = 0;
  const send = (client: Client): Promise<void> =>
    new Promise((resolve, reject) => {
      sendWrite(client, { traffic, body, n: next++ }, (problem) => {
        if (problem === undefined) resolve();
        else reject(problem);
      });
    });
  try {
    await Promise.all(clients.map(send));
    const started = performance.now();
    const work = async (client: Client): Promise<void> => {
      while (performance.now() - started < ms) {
        await send(client);
        if (performance.now() - started <= ms) answered++;
      }
    };
    await Promise.all(clients.map(work));
  } finally {
    await Promise.all(clients.map((client) => client.destroy()));
  }
  return { perSecond: (answered / ms) * 1_000, requests: next - from };
}
