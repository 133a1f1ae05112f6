import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis, type RedisOptions } from 'ioredis';
import { ServerProcess, withFreePort } from './server-process';

const HOST = '127.0.0.1';

export interface RedisServer {
  readonly host: string;
  readonly port: number;
  readonly url: string;
  /** Of the current process; another one after `restart()`. */
  readonly pid: number;
  /** A new client, disconnected by `stop()` at the latest. */
  client(options?: RedisOptions): Redis;
  /** Ends the server, its clients and its data. */
  stop(): Promise<void>;
  /** Sends a signal, SIGKILL by default. The port stays reserved for `restart()`. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Freezes the server: connections stay open, nothing is answered. */
  pause(): void;
  resume(): void;
  /** Starts again on the same port; without persistence in `args` the data are gone. */
  restart(): Promise<void>;
}

/**
 * Starts a real `redis-server` of its own: free loopback port, temp folder, no persistence.
 *
 * @param options.args appended to the command line, so that they win, e.g. `['--maxmemory', '1mb']`
 * @throws Error telling how to install when `redis-server` is missing
 */
export async function startRedis(options: { args?: string[] } = {}): Promise<RedisServer> {
  return withFreePort(async (port) => {
    const dir = await mkdtemp(join(tmpdir(), 'quota-redis-'));
    const server = new ServerProcess({
      command: process.env['REDIS_SERVER_BIN'] ?? 'redis-server',
      args: [
        ...['--port', String(port), '--bind', HOST, '--dir', dir],
        ...['--save', '', '--appendonly', 'no', '--daemonize', 'no'],
        ...(options.args ?? []),
      ],
      dir,
      isReady: (pid) => answersAs(port, pid),
    });
    try {
      await server.start();
    } catch (error) {
      await server.dispose();
      throw withAdvice(error);
    }
    return handle(server, port);
  });
}

function handle(server: ServerProcess, port: number): RedisServer {
  const clients = new Set<Redis>();
  return {
    host: HOST,
    port,
    url: `redis://${HOST}:${port}`,
    get pid() {
      return server.pid;
    },
    client(options = {}) {
      const client = new Redis({ host: HOST, port, ...options });
      // Without a listener ioredis prints every lost connection, and losing them is the test.
      client.on('error', () => undefined);
      clients.add(client);
      return client;
    },
    async stop() {
      for (const client of clients) {
        client.disconnect();
      }
      await server.dispose();
    },
    kill: (signal) => server.kill(signal),
    pause: () => {
      server.pause();
    },
    resume: () => {
      server.resume();
    },
    async restart() {
      await server.kill();
      await server.start();
    },
  };
}

/** True when our own process answers, not a stranger who took the port before us. */
async function answersAs(port: number, pid: number): Promise<boolean> {
  const probe = new Redis({
    ...{ host: HOST, port, lazyConnect: true, connectTimeout: 1_000 },
    ...{ retryStrategy: null, maxRetriesPerRequest: 0, enableReadyCheck: false },
  });
  probe.on('error', () => undefined);
  try {
    await probe.connect();
    const info = await probe.info();
    return info.includes(`process_id:${pid}\r`) && info.includes('loading:0\r');
  } finally {
    probe.disconnect();
  }
}

function withAdvice(error: unknown): unknown {
  // Not instanceof Error: Node's own errors are of another realm than Jest's tests.
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
    return new Error(
      'redis-server was not found. Install it (Debian/Ubuntu: "apt-get install redis-server", ' +
        'macOS: "brew install redis") or set REDIS_SERVER_BIN to its path.',
      { cause: error },
    );
  }
  return error;
}
