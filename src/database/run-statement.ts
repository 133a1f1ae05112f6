import type { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver';

export type Row = Record<string, unknown>;

export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
  /** After so many ms without an answer the connection is given up. */
  readonly deadlineMs: number;
}

interface Client {
  query(statement: {
    text: string;
    values: readonly unknown[];
    query_timeout: number;
  }): Promise<{ rows: Row[] }>;
  on(event: 'error', listener: () => void): unknown;
  off(event: 'error', listener: () => void): unknown;
}

/**
 * Runs one statement with a deadline of its own. `DataSource.query` knows only that of the pool, and
 * gives a connection back with the unanswered statement still on it.
 */
export async function runStatement(dataSource: DataSource, statement: Statement): Promise<Row[]> {
  const driver = dataSource.driver as unknown as Pick<PostgresDriver, 'obtainMasterConnection'>;
  const [client, release] = (await driver.obtainMasterConnection()) as [
    Client,
    (error?: Error) => void,
  ];
  let broken: Error | undefined;
  // The statement hears of it too; without a listener it would end the process.
  const onError = (): void => undefined;
  client.on('error', onError);
  try {
    const { text, values, deadlineMs } = statement;
    return (await client.query({ text, values, query_timeout: deadlineMs })).rows;
  } catch (error) {
    if (!wasRefused(error)) broken = error as Error;
    throw error;
  } finally {
    client.off('error', onError);
    release(broken);
  }
}

/**
 * True when nothing was done: the server said so, on a connection that goes on, or the statement was
 * never sent. A lost connection and a timeout say neither (SQLSTATE classes 08, 57P, 58, XX, or none).
 */
export function wasRefused(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (message === 'timeout exceeded when trying to connect') return true;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !/^(08|57P|58|XX)/.test(code);
}
