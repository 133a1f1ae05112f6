import { STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { finishAnswers } from './finish-answers';
import { closeGently } from './gentle-close';
import { problemDocument, PROBLEM_JSON } from './problem';

/** Time to send the header lines, and the whole request: 100 MB take 80 s at 10 Mbit/s. */
const HEADERS_MS = 15_000;
const REQUEST_MS = 180_000;
/** Longer than the minute after which load balancers drop an idle connection, so that they close first. */
const KEEP_ALIVE_MS = 65_000;

/** Bounds how long a client may take, and answers what Node cannot parse as a problem document. */
export function hardenServer(server: Server): void {
  server.headersTimeout = HEADERS_MS;
  server.requestTimeout = REQUEST_MS;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  closeGently(server);
  finishAnswers(server);
  const latest = new WeakMap<Socket, ServerResponse>();
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    latest.set(request.socket, response);
  });
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    // "100 Continue" when the body is wanted, not before: a refusal then spares the client sending it.
    request.once('resume', () => {
      if (!response.headersSent) response.writeContinue();
    });
    server.emit('request', request, response);
  });
  server.removeAllListeners('clientError');
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    refuse(error.code ?? '', socket, latest.get(socket));
  });
}

/** Answers what is not HTTP, unless an answer to what came before it is on its way. */
function refuse(code: string, socket: Socket, response: ServerResponse | undefined): void {
  if (code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
  } else if (response === undefined || response.writableFinished) {
    socket.end(answerTo(code), () => socket.destroy());
  } else if (response.req.complete) {
    // What came after a whole request is broken; the request itself is being served.
    response.once('close', () => socket.destroySoon());
  } else if (response.headersSent) {
    socket.destroy();
  } else {
    socket.end(answerTo(code), () => socket.destroy());
  }
}

function answerTo(code: string): string {
  const [status, error, detail] = REFUSALS[code] ?? MALFORMED;
  const body = JSON.stringify(problemDocument(status, error, detail));
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'Connection: close',
    `Content-Type: ${PROBLEM_JSON}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    '',
    body,
  ].join('\r\n');
}

type Refusal = readonly [status: number, error: string, detail: string];

const MALFORMED: Refusal = [400, 'invalid_request', 'The request is not well-formed HTTP.'];
const REFUSALS: Readonly<Record<string, Refusal>> = {
  HPE_HEADER_OVERFLOW: [431, 'request_refused', 'The header lines are too long.'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'request_refused', 'The chunk extensions are too long.'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'request_refused', 'The request took too long to arrive.'],
};
