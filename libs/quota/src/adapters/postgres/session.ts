import type { DataSource } from 'typeorm';
import { Budget, QuotaUnavailableError } from '../../core';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver';
import { isRefusal, unavailable } from './database-errors';
import { quotaPostgresOptions } from './postgres-options';

// The pool may be the application's, with other limits or none.
const { query_timeout, statement_timeout } = quotaPostgresOptions;

const BEGIN = `
  BEGIN ISOLATION LEVEL READ COMMITTED;
  SET LOCAL statement_timeout = ${statement_timeout}`;

export type Row = Record<string, unknown>;

interface Client {
  query(statement: {
    text: string;
    values: readonly unknown[];
    query_timeout: number;
  }): Promise<{ rows: Row[] }>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  off(event: 'error', listener: (error: Error) => void): unknown;
}

type Connection = [client: Client, release: (error?: Error) => void];

interface Pool {
  readonly totalCount: number;
  readonly options: { readonly max?: number };
  on(event: 'connect', listener: (client: Client) => void): unknown;
}

/** One connection, borrowed from the pool. */
export class Session {
  /** Why the connection cannot be used any more. */
  broken: Error | undefined;
  committing = false;

  constructor(private readonly client: Client) {}

  /** Runs one statement with parameters. */
  async query(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    try {
      return (await this.client.query({ text, values, query_timeout })).rows;
    } catch (error) {
      if (!isRefusal(error)) this.broken = error as Error;
      throw error;
    }
  }
}

/**
 * Work on one connection of the DataSource's pool. TypeORM's own QueryRunner puts a connection back
 * into the pool after a timeout, with the unanswered statement still on it, and the next caller
 * waits behind that; here such a connection is destroyed.
 *
 * @param waitMs for a free connection; the pool's own limit unless given
 * @throws QuotaUnavailableError for whatever the driver throws.
 */
export async function withConnection<T>(
  dataSource: DataSource,
  operation: string,
  work: (session: Session) => Promise<T>,
  waitMs?: number,
): Promise<T> {
  try {
    return await borrow(dataSource, operation, work, waitMs);
  } catch (error) {
    throw unavailable(operation, error);
  }
}

/**
 * Work in one transaction, at READ COMMITTED whatever the server's default: it waits for locks and
 * must then see what the one before it has left. Rolled back when the work throws.
 *
 * @throws QuotaUnavailableError; `applied` is `unknown` when the commit itself got no answer.
 */
export async function inTransaction<T>(
  dataSource: DataSource,
  operation: string,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  return withConnection(dataSource, operation, async (session) => {
    try {
      await session.query(BEGIN);
      const result = await work(session);
      session.committing = true;
      await session.query('COMMIT');
      return result;
    } catch (error) {
      if (session.broken === undefined) await rollBack(session);
      const unknown = session.committing && !isRefusal(error);
      throw unavailable(operation, error, unknown ? 'unknown' : 'no');
    }
  });
}

/** What went wrong before is what the caller has to hear of; a rollback that fails ends the session. */
async function rollBack(session: Session): Promise<void> {
  try {
    await session.query('ROLLBACK');
  } catch (error) {
    session.broken ??= error as Error;
  }
}

const heard = new WeakSet<Pool>();

/**
 * Between the pool's giving a new connection and our taking it nobody listens to it, and a server that
 * says goodbye in the packet of its greeting ends the process. So each has a listener from its birth.
 */
function hearNewConnections(pool: Pool): void {
  if (heard.has(pool)) return;
  heard.add(pool);
  pool.on('connect', (client) => client.on('error', () => undefined));
}

async function borrow<T>(
  dataSource: DataSource,
  operation: string,
  work: (session: Session) => Promise<T>,
  waitMs: number | undefined,
): Promise<T> {
  const [client, release] = await connection(dataSource, operation, waitMs);
  const session = new Session(client);
  // Without a listener a connection that breaks between two statements would end the process.
  const onError = (error: Error): void => {
    session.broken = error;
  };
  client.on('error', onError);
  try {
    return await work(session);
  } finally {
    client.off('error', onError);
    release(session.broken);
  }
}

async function connection(
  dataSource: DataSource,
  operation: string,
  waitMs: number | undefined,
): Promise<Connection> {
  const driver = dataSource.driver as unknown as Pick<PostgresDriver, 'obtainMasterConnection'> & {
    readonly master: Pool;
  };
  hearNewConnections(driver.master);
  const asked = driver.obtainMasterConnection() as Promise<Connection>;
  if (waitMs === undefined) return asked;
  // One that comes too late goes back unused.
  const onLate = ([, release]: Connection): void => release();
  try {
    return await new Budget(waitMs).wait(operation, asked, { applied: 'no', onLate });
  } catch (error) {
    const { totalCount, options } = driver.master;
    if (!(error instanceof QuotaUnavailableError) || totalCount < (options.max ?? Infinity)) {
      throw error;
    }
    const cause = new Error('All connections of the pool are in use.');
    throw new QuotaUnavailableError(operation, { applied: 'no', contact: 'unasked', cause });
  }
}
