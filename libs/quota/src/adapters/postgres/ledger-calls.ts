import type { DataSource } from 'typeorm';
import { InvalidWriteError, ReservationConflictError, parseTenantId } from '../../core';
import { isRefusal, unavailable } from './database-errors';
import { replies, type LedgerOperation, type ReplyOf } from './ledger-replies';
import { CALLS } from './ledger-sql';
import { inTransaction, withConnection, type Row } from './session';

/** Called when a sum of the ledger would have gone below zero: a defect of ours, to be counted. */
export type DefectListener = (operation: string, tenant: string, count: number) => void;

/** The functions tell so that they work at READ COMMITTED only. */
const WRONG_ISOLATION = '25001';
const OUT_OF_RANGE = '22003';

interface Call {
  readonly tenant: string;
  readonly args: readonly unknown[];
  /** The write's id, for the error when it was used for another one. */
  readonly id?: string;
}

/** Calls the ledger's functions: each one statement, and by that one transaction. */
export class LedgerCalls {
  /** The database's default isolation is another one: calls are wrapped in transactions. */
  private wrap = false;

  constructor(
    private readonly dataSource: DataSource,
    private readonly onDefect?: DefectListener,
  ) {}

  /**
   * Calls a function, again while it answers `again` (it stopped reaping before it was done).
   *
   * @throws ReservationConflictError, InvalidWriteError, QuotaUnavailableError
   */
  async run<K extends LedgerOperation>(
    operation: K,
    { tenant, args, id = '' }: Call,
    again?: 'again' | 'more',
  ): Promise<ReplyOf<K>> {
    parseTenantId(tenant);
    for (;;) {
      const [row] = await this.query(operation, CALLS[operation], [tenant, ...args]);
      const parsed = replies[operation].safeParse(row?.['reply']);
      if (!parsed.success) throw unavailable(operation, parsed.error, 'unknown');
      const reply = parsed.data as ReplyOf<K>;
      if (reply.defects > 0) this.onDefect?.(operation, tenant, reply.defects);
      if (reply.code === 'conflict') throw new ReservationConflictError(id);
      if (reply.code === 'beyond') throw beyondMax();
      if (reply.code !== again) return reply;
    }
  }

  /**
   * Runs one statement.
   *
   * @throws QuotaUnavailableError; `applied` is `unknown` when the statement got no answer.
   */
  async query(operation: string, text: string, values: readonly unknown[]): Promise<Row[]> {
    if (!this.wrap) {
      try {
        return await withConnection(this.dataSource, operation, async (session) => {
          try {
            return await session.query(text, values);
          } catch (error) {
            if (codeOf(error) === WRONG_ISOLATION) throw new WrongIsolation();
            throw failure(operation, error);
          }
        });
      } catch (error) {
        if (!((error as Error).cause instanceof WrongIsolation)) throw error;
        this.wrap = true;
      }
    }
    return inTransaction(this.dataSource, operation, async (session) => {
      try {
        return await session.query(text, values);
      } catch (error) {
        // Without a COMMIT nothing of it is done, whatever became of the connection.
        if (codeOf(error) === OUT_OF_RANGE) throw beyondMax();
        throw error;
      }
    });
  }
}

class WrongIsolation extends Error {}

function failure(operation: string, error: unknown): Error {
  if (codeOf(error) === OUT_OF_RANGE) return beyondMax();
  return unavailable(operation, error, isRefusal(error) ? 'no' : 'unknown');
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}

function beyondMax(): InvalidWriteError {
  return new InvalidWriteError(
    { where: 'size', allowed: 'sums up to 2^53 − 1 bytes' },
    'With this write the tenant would hold more than 2^53 − 1 bytes, which cannot be counted exactly.',
  );
}
