import { request, type Agent } from 'node:http';

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly tenant?: string;
  readonly admin?: boolean;
  readonly body?: Buffer;
  /** The client goes after half of the body, so many ms later. */
  readonly leaveAfterMs?: number;
}

export interface Reply {
  /** null: no answer came. */
  readonly status: number | null;
  /** Why not: a code of Node's, or `TIMEOUT`. */
  readonly error: string | null;
  readonly body: Buffer;
}

export const ADMIN_TOKEN = 'admin-token-of-the-chaos-run';
/** No answer of the service takes so long; one that does is taken for hanging. */
const TIMEOUT_MS = 30_000;

/** Never throws. */
export function send(to: { port: number; agent: Agent }, call: Call): Promise<Reply> {
  return new Promise((resolve) => {
    const none = (error: string): void => resolve({ status: null, error, body: Buffer.alloc(0) });
    const { method, path, body } = call;
    const outgoing = request({
      ...{ host: '127.0.0.1', port: to.port, agent: to.agent, method, path },
      headers: headersOf(call),
    });
    const timer = setTimeout(() => {
      none('TIMEOUT');
      outgoing.destroy();
    }, TIMEOUT_MS);
    outgoing.on('close', () => clearTimeout(timer));
    outgoing.on('error', (error: NodeJS.ErrnoException) => none(error.code ?? error.message));
    outgoing.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', () => none('ECUT'));
      response.on('close', () => none('ECUT'));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? null, error: null, body: Buffer.concat(chunks) });
      });
    });
    if (call.leaveAfterMs === undefined) {
      outgoing.end(body);
      return;
    }
    outgoing.write(body?.subarray(0, Math.floor(body.length / 2)));
    setTimeout(() => {
      none('LEFT');
      outgoing.destroy();
    }, call.leaveAfterMs);
  });
}

function headersOf({ tenant, admin, body }: Call): Record<string, string> {
  return {
    ...(tenant !== undefined && { 'X-Tenant-ID': tenant }),
    ...(admin === true && {
      Authorization: `Bearer ${ADMIN_TOKEN}`,
      'Content-Type': 'application/json',
    }),
    ...(body !== undefined && { 'Content-Length': String(body.length) }),
  };
}
