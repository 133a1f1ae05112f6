import type { DataSource } from 'typeorm';
import {
  InvalidWriteError,
  QuotaError,
  ReservationConflictError,
  UndecidedError,
  parseTenantId,
} from '../../core';
import { isRefusal, unavailable } from './database-errors';
import { replies, type LedgerOperation, type ReplyOf } from './ledger-replies';
import { CALLS } from './ledger-sql';
import { inTransaction, withConnection, type Row, type Session } from './session';
import { TenantLanes } from './tenant-lanes';

/** Called when a sum of the ledger would have gone below zero: a defect of ours, to be counted. */
export type DefectListener = (operation: string, tenant: string, count: number) => void;

/** The functions tell so that they work at READ COMMITTED only. */
const WRONG_ISOLATION = '25001';
const OUT_OF_RANGE = '22003';

/** Far more would not make it faster: they wait for the same row. */
const CALLS_A_TENANT = 4;

/** ms a call waits for those of its tenant before it. */
const WAIT_MS = 5_000;

export interface LedgerCallOptions {
  readonly onDefect?: DefectListener;
  /**
   * ms a call waits for its turn among those of the same tenant, of which four run at a time; 5,000
   * unless set.
   */
  readonly waitMs?: number;
}

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

  private readonly lanes: TenantLanes;

  constructor(
    private readonly dataSource: DataSource,
    private readonly options: LedgerCallOptions = {},
    callsATenant = CALLS_A_TENANT,
  ) {
    this.lanes = new TenantLanes(callsATenant, options.waitMs ?? WAIT_MS);
  }

  /**
   * Calls a function, again while it answers `again` (it stopped reaping before it was done).
   *
   * @throws ReservationConflictError, InvalidWriteError, QuotaUnavailableError, UndecidedError
   */
  async run<K extends LedgerOperation>(
    operation: K,
    { tenant, args, id = '' }: Call,
    again?: 'again' | 'more',
  ): Promise<ReplyOf<K>> {
    parseTenantId(tenant);
    for (;;) {
      const [row] = await this.query(operation, CALLS[operation], tenant, args);
      const parsed = replies[operation].safeParse(row?.['reply']);
      if (!parsed.success) throw unavailable(operation, parsed.error, 'unknown');
      const reply = parsed.data as ReplyOf<K>;
      if (reply.defects > 0) this.options.onDefect?.(operation, tenant, reply.defects);
      if (reply.code === 'conflict') throw new ReservationConflictError(id);
      if (reply.code === 'beyond') throw beyondMax();
      if (reply.code === 'undecided') throw UndecidedError.byLapsed(operation);
      if (reply.code !== again) return reply;
    }
  }

  /**
   * Runs one statement, whose first parameter is the tenant.
   *
   * @throws QuotaUnavailableError; `applied` is `unknown` when the statement got no answer.
   */
  async query(
    operation: string,
    text: string,
    tenant: string,
    args: readonly unknown[],
  ): Promise<Row[]> {
    const values = [tenant, ...args];
    try {
      return await this.lanes.take(tenant, () => this.send(operation, text, values));
    } catch (error) {
      throw error instanceof QuotaError ? error : unavailable(operation, error);
    }
  }

  private async send(operation: string, text: string, values: unknown[]): Promise<Row[]> {
    const alone = async (session: Session): Promise<Row[]> => {
      try {
        return await session.query(text, values);
      } catch (error) {
        throw failure(operation, error, isRefusal(error) ? 'no' : 'unknown');
      }
    };
    // Without a COMMIT nothing is done, whatever becomes of the connection.
    const wrapped = async (session: Session): Promise<Row[]> => {
      try {
        return await session.query(text, values);
      } catch (error) {
        throw failure(operation, error, 'no');
      }
    };
    if (!this.wrap) {
      try {
        return await withConnection(this.dataSource, operation, alone);
      } catch (error) {
        if (codeOf((error as Error).cause) !== WRONG_ISOLATION) throw error;
        this.wrap = true;
      }
    }
    return inTransaction(this.dataSource, operation, wrapped);
  }
}

function failure(operation: string, error: unknown, applied: 'no' | 'unknown'): Error {
  return codeOf(error) === OUT_OF_RANGE ? beyondMax() : unavailable(operation, error, applied);
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
