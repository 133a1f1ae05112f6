import type { IncomingMessage, Server, ServerResponse } from 'node:http';

/**
 * Lets answers that are on their way arrive when the server closes. Node takes a connection for idle
 * as soon as the handler has ended its answer (`finished`), though most of a large one may still wait
 * for a client that reads slowly, and cuts it. Each such connection goes when its answer has gone.
 */
export function finishAnswers(server: Server): void {
  const onTheirWay = new Set<ServerResponse>();
  server.prependListener('request', (_request: IncomingMessage, response: ServerResponse) => {
    onTheirWay.add(response);
    response.once('close', () => {
      onTheirWay.delete(response);
      // Its connection is idle now; nobody else would close it before its client does.
      if (!server.listening) setImmediate(closeIdle);
    });
  });
  const closeIdle = server.closeIdleConnections.bind(server);
  server.closeIdleConnections = (): void => {
    const unsent = [...onTheirWay].filter((one) => one.writableEnded && !one.writableFinished);
    for (const one of unsent) setEnded(one, false);
    closeIdle();
    for (const one of unsent) setEnded(one, true);
  };
}

/** What Node goes by when it looks for idle connections. */
function setEnded(response: object, finished: boolean): void {
  Object.assign(response, { finished });
}
