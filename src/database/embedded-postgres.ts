import { PGlite } from '@electric-sql/pglite';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockFolder, type FolderLock } from './data-folder-lock';

/** The folder that stands for "nothing is kept". */
export const IN_MEMORY = 'memory://';

/** What the file name of a server's socket ends in; nothing listens on a port of that number. */
const SOCKET_PORT = 5432;

/** Longer paths of sockets are refused by macOS; Linux takes a few bytes more. */
const MAX_SOCKET_PATH = 100;

/**
 * What a pool of pg on it must keep to. One connection: the socket server of this version passes the
 * messages of all its connections, one by one, to a single session. Messages of a statement that
 * comes in several packets, such as one with a large parameter, mix with those of other connections,
 * and replies go to the wrong one. So callers wait in the pool instead, and longer than for a
 * server: here slow means only slow. `statement_timeout` has no effect.
 */
export const EMBEDDED_POOL = {
  max: 1,
  connectionTimeoutMillis: 30_000,
  query_timeout: 60_000,
} as const;

/** Where pg finds the database. A host that begins with "/" is the folder of a Unix socket. */
export interface EmbeddedAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

/**
 * PostgreSQL in this process (PGlite), spoken to by pg like a server, so that TypeORM and the
 * migrations are the same as with one. On a Unix socket in a folder of our own, where no other user
 * of the machine gets in; on Windows on a loopback port.
 */
export class EmbeddedPostgres {
  private constructor(
    readonly address: EmbeddedAddress,
    private readonly db: PGlite,
    private readonly server: PGLiteSocketServer,
    private readonly socketFolder: string,
    private readonly lock: FolderLock | undefined,
  ) {}

  /**
   * Opens the database in the folder, and makes it at the first start (some seconds).
   *
   * @param folder a path, or {@link IN_MEMORY}
   * @throws DataFolderInUseError when another process has it open.
   */
  static async start(folder: string): Promise<EmbeddedPostgres> {
    if (folder === IN_MEMORY) return EmbeddedPostgres.serve(await PGlite.create(IN_MEMORY));
    const lock = await lockFolder(folder);
    try {
      return await EmbeddedPostgres.serve(await openFolder(folder), lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  private static async serve(db: PGlite, lock?: FolderLock): Promise<EmbeddedPostgres> {
    const socketFolder = await mkdtemp(join(tmpdir(), 'quota-pglite-'));
    try {
      const path = join(socketFolder, `.s.PGSQL.${SOCKET_PORT}`);
      const onSocket = process.platform !== 'win32' && path.length <= MAX_SOCKET_PATH;
      // A connection that was cut is still counted for a moment when the pool makes the next one.
      const server = new PGLiteSocketServer({
        db,
        maxConnections: EMBEDDED_POOL.max + 7,
        ...(onSocket ? { path } : { host: '127.0.0.1', port: 0 }),
      });
      await server.start();
      const port = onSocket ? SOCKET_PORT : Number(server.getServerConn().split(':').at(-1));
      const address = {
        host: onSocket ? socketFolder : '127.0.0.1',
        port,
        user: 'postgres',
        database: 'postgres',
      };
      return new EmbeddedPostgres(address, db, server, socketFolder, lock);
    } catch (error) {
      await db.close();
      await rm(socketFolder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Ends the connections, writes everything down and gives the folder free. */
  async close(): Promise<void> {
    await this.server.stop();
    // Handlers that stop() has detached may still be at their rollback; close() waits its turn.
    if (!this.db.closed) await this.db.close();
    await rm(this.socketFolder, { recursive: true, force: true });
    await this.lock?.release();
  }
}

/**
 * A first start that did not come to its end leaves a database that cannot be opened; nobody has
 * been told that anything is in it, so it is made again.
 */
async function openFolder(folder: string): Promise<PGlite> {
  const data = join(folder, 'data');
  const complete = join(folder, 'complete');
  if (!existsSync(complete)) await rm(data, { recursive: true, force: true });
  const db = await PGlite.create(data);
  await writeFile(complete, 'The database in "data" was made to the end.\n');
  return db;
}
