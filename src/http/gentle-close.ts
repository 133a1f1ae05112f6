import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** How long, and how much of, an unwanted body is read on so that its sender gets to see the answer. */
const LINGER_MS = 5_000;
const LINGER_BYTES = 128 * 1_048_576;

/**
 * Lets an answer arrive that was given before the request's body had: it says `Connection: close`,
 * and the rest of the body is thrown away within bounds before the socket goes. Closed at once, the
 * kernel would answer what still comes in with a reset, and the client would lose our answer.
 */
export function closeGently(server: Server): void {
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    const writeHead = response.writeHead.bind(response) as (...args: unknown[]) => ServerResponse;
    response.writeHead = (...args: unknown[]): ServerResponse => {
      if (!request.complete && hasBody(request) && Number(args[0]) >= 400) {
        response.setHeader('Connection', 'close');
        lingerInsteadOfClosing(request);
      }
      return writeHead(...args);
    };
  });
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function lingerInsteadOfClosing(request: IncomingMessage): void {
  const { socket } = request;
  // Node calls this once the last answer of a connection is written.
  socket.destroySoon = () => linger(socket, request);
}

function linger(socket: Socket, request: IncomingMessage): void {
  let left = LINGER_BYTES;
  const destroy = (): void => void socket.destroy();
  const timer = setTimeout(destroy, LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.end();
  if (request.complete) {
    destroy();
    return;
  }
  request.once('close', destroy).once('end', destroy);
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) destroy();
  });
  request.resume();
}
