import { Budget, QuotaUnavailableError } from '@app/quota';
import type { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver';

export type Row = Record<string, unknown>;

export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
  /** So many ms it may take, the wait for a connection included; after that the connection is given up. */
  readonly deadlineMs: number;
}

interface Client {
  query(statement: { text: string; values: readonly unknown[] }): Promise<{ rows: Row[] }>;
  on(event: 'error', listener: () => void): unknown;
  off(event: 'error', listener: () => void): unknown;
}

type Connection = [client: Client, release: (error?: Error) => void];

/** No connection was to be had; nothing was sent. */
export class NoConnectionError extends Error {
  constructor(
    /** All of the pool is in use: the server was not even asked. */
    readonly poolIsFull: boolean,
    options?: ErrorOptions,
  ) {
    super(poolIsFull ? 'All connections are in use' : 'No connection could be made', options);
  }
}

/**
 * Runs one statement with a deadline of its own. `DataSource.query` knows only that of the pool, and
 * gives a connection back with the unanswered statement still on it.
 */
export async function runStatement(dataSource: DataSource, statement: Statement): Promise<Row[]> {
  const budget = new Budget(statement.deadlineMs);
  const [client, release] = await connection(dataSource, budget);
  let broken: Error | undefined;
  // The statement hears of it too; without a listener it would end the process.
  const onError = (): void => undefined;
  client.on('error', onError);
  try {
    const { text, values } = statement;
    return (await budget.wait('statement', client.query({ text, values }))).rows;
  } catch (error) {
    if (!wasRefused(error)) broken = error as Error;
    throw error;
  } finally {
    client.off('error', onError);
    release(broken);
  }
}

/** @throws NoConnectionError */
async function connection(dataSource: DataSource, budget: Budget): Promise<Connection> {
  const driver = dataSource.driver as unknown as Pick<PostgresDriver, 'obtainMasterConnection'>;
  const asked = driver.obtainMasterConnection() as Promise<Connection>;
  // One that comes too late goes back unused.
  const onLate = ([, release]: Connection): void => release();
  try {
    return await budget.wait('connection', asked, { onLate });
  } catch (error) {
    const late = error instanceof QuotaUnavailableError || isPoolTimeout(error);
    throw new NoConnectionError(late && isFull(dataSource), { cause: error });
  }
}

function isFull({ driver }: DataSource): boolean {
  const pool = (driver as unknown as { master?: Pool }).master;
  return pool !== undefined && pool.totalCount >= (pool.options.max ?? Infinity);
}

interface Pool {
  readonly totalCount: number;
  readonly options: { readonly max?: number };
}

function isPoolTimeout(error: unknown): boolean {
  return (error as Error).message === 'timeout exceeded when trying to connect';
}

/**
 * True when nothing was done: the server said so, on a connection that goes on, or the statement was
 * never sent. A lost connection and a timeout say neither (SQLSTATE classes 08, 57P, 58, XX, or none).
 */
export function wasRefused(error: unknown): boolean {
  if (error instanceof NoConnectionError) return true;
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !/^(08|57P|58|XX)/.test(code);
}
