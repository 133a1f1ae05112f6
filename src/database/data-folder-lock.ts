import { createHash, randomBytes } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, symlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The data folder belongs to another running process, or to another part of this one. */
export class DataFolderInUseError extends Error {
  constructor(folder: string, holder: string) {
    super(
      `The embedded database in "${folder}" is in use by ${holder}. One process can have it at a ` +
        'time: stop that one, give this one a folder of its own (DATA_DIR), or let both use a ' +
        'PostgreSQL server (DATABASE_URL).',
    );
    this.name = 'DataFolderInUseError';
  }
}

export interface FolderLock {
  release(): Promise<void>;
}

const ATTEMPTS = 20;
const PROBE_MS = 1_000;

/**
 * Makes this process the only one that uses the folder. The lock is a socket that listens, so the
 * kernel takes it away with the process, however that ends, and nobody has to guess whether a
 * process id in a file is still the same process. Each contender listens first and looks for others
 * then, so of any two at least one sees the other.
 *
 * @throws DataFolderInUseError
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (process.platform === 'win32') return lockByPipe(folder);
  // A socket's path may have some 100 bytes; through a link it is short wherever the folder is.
  const short = await mkdtemp(join(tmpdir(), 'quota-lock-'));
  const link = join(short, 'd');
  await symlink(realpathSync(folder), link);
  try {
    return await lockBySocket(folder, link);
  } finally {
    await rm(short, { recursive: true, force: true });
  }
}

async function lockBySocket(folder: string, link: string): Promise<FolderLock> {
  let holder = 'a process that is starting';
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const claim = await Claim.make(link);
    const others = await claim.others();
    const held = others.find((other) => other !== 'starting');
    if (others.length === 0) return claim.hold(realpathSync(folder));
    await claim.withdraw(link);
    if (held !== undefined) throw new DataFolderInUseError(folder, held);
    holder = 'processes that are starting';
    await sleep(20 + Math.random() * 150);
  }
  throw new DataFolderInUseError(folder, holder);
}

/** A socket of ours in the folder, with a name that nobody else has or will ever have. */
class Claim {
  private state = 'starting';

  private constructor(
    private readonly server: Server,
    private readonly folder: string,
    private readonly name: string,
  ) {
    server.on('connection', (socket) => {
      socket.on('error', () => undefined);
      socket.end(this.state);
    });
    server.unref();
  }

  static async make(folder: string): Promise<Claim> {
    const id = randomBytes(8).toString('hex');
    const server = createServer();
    // Between bind and listen a socket refuses connections, which reads as dead: so it gets the
    // name that others look for only when it listens.
    await listen(server, join(folder, `.new-${id}`));
    const claim = new Claim(server, folder, `.lock-${id}`);
    await rename(join(folder, `.new-${id}`), join(folder, claim.name));
    return claim;
  }

  /** What the other living claims say; the sockets of dead ones are removed. */
  async others(): Promise<string[]> {
    const names = await readdir(this.folder);
    const states: string[] = [];
    for (const name of names) {
      if (!/^\.lock-[0-9a-f]{16}$/.test(name) || name === this.name) continue;
      const state = await ask(join(this.folder, name));
      if (state !== null) states.push(state);
      else await rm(join(this.folder, name), { force: true });
    }
    return states;
  }

  hold(folder: string): FolderLock {
    this.state = `process ${process.pid}`;
    return { release: () => this.withdraw(folder) };
  }

  async withdraw(folder: string): Promise<void> {
    await rm(join(folder, this.name), { force: true });
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** The state of a claim; null when nobody listens any more. */
function ask(path: string): Promise<string | null> {
  return new Promise((resolve) => {
    let said = '';
    const socket = connect(path);
    // One that takes the connection and says nothing is busy or stopped, but alive.
    const timer = setTimeout(() => {
      resolve('a process that does not answer');
      socket.destroy();
    }, PROBE_MS);
    socket.on('data', (chunk) => (said += chunk.toString()));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      const gone = error.code === 'ECONNREFUSED' || error.code === 'ENOENT';
      resolve(gone ? null : 'a process that does not answer');
    });
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(said === '' ? 'starting' : said);
    });
  });
}

/** Windows takes a pipe away with its process and lets only one process make it. */
async function lockByPipe(folder: string): Promise<FolderLock> {
  const name = createHash('sha256').update(realpathSync(folder)).digest('hex').slice(0, 32);
  const server = createServer((socket) => socket.destroy());
  server.unref();
  try {
    await listen(server, `\\\\.\\pipe\\quota-${name}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new DataFolderInUseError(folder, 'another process');
  }
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
