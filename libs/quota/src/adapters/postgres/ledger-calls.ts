import type { DataSource } from 'typeorm';
import {
  InvalidWriteError,
  QuotaUnavailableError,
  ReservationConflictError,
  UndecidedError,
  parseTenantId,
} from '../../core';
import { unavailable } from './database-errors';
import { replies, type LedgerOperation, type ReplyOf } from './ledger-replies';
import { LedgerStatements, codeOf, joins, type Step } from './ledger-statements';
import type { Row } from './session';
import { TenantLanes } from './tenant-lanes';

/** Called when a sum of the ledger would have gone below zero: a defect of ours, to be counted. */
export type DefectListener = (operation: string, tenant: string, count: number) => void;

const OUT_OF_RANGE = '22003';

/**
 * Calls in one statement: so many new versions of the tenant's row fit on its page, and more would leave
 * it (docs/decisions/0013).
 */
const MOST_JOINED = 12;

/** Statements of one tenant beside the joined ones: more would not make it faster. */
const OTHERS_A_TENANT = 2;

/** ms a call waits for those of its tenant before it. */
const WAIT_MS = 5_000;

export interface LedgerCallOptions {
  readonly onDefect?: DefectListener;
  /** ms a call waits for its turn among those of the same tenant; 5,000 unless set. */
  readonly waitMs?: number;
}

interface Call {
  readonly tenant: string;
  readonly args: readonly unknown[];
  /** The write's id, for the error when it was used for another one. */
  readonly id?: string;
}

/**
 * Calls the ledger's functions. A call is a statement, and by that a transaction; those of a tenant that
 * change a few rows go in one together when they had to wait for their turn.
 */
export class LedgerCalls {
  private readonly joined: TenantLanes<Step, readonly Row[]>;
  private readonly others: TenantLanes<Step, readonly Row[]>;

  constructor(
    dataSource: DataSource,
    private readonly options: LedgerCallOptions = {},
    othersATenant = OTHERS_A_TENANT,
  ) {
    const statements = new LedgerStatements(dataSource);
    const work = (steps: readonly Step[]) => statements.send(steps);
    const shared = { work, waitMs: options.waitMs ?? WAIT_MS };
    this.joined = new TenantLanes({ ...shared, width: 1, spare: 1, most: MOST_JOINED });
    this.others = new TenantLanes({ ...shared, width: othersATenant, spare: 0, most: 1 });
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
      const [row] = await this.ask({ operation, tenant, args });
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
  query(
    operation: string,
    text: string,
    tenant: string,
    args: readonly unknown[],
  ): Promise<readonly Row[]> {
    return this.ask({ operation, text, tenant, args });
  }

  private async ask(step: Step): Promise<readonly Row[]> {
    try {
      return await (joins(step) ? this.joined : this.others).run(step.tenant, step);
    } catch (error) {
      throw failure(step.operation, error);
    }
  }
}

/** An error of its own for each of the calls that had it together. */
function failure(operation: string, error: unknown): Error {
  if (codeOf((error as Error).cause) === OUT_OF_RANGE) return beyondMax();
  if (!(error instanceof QuotaUnavailableError)) return unavailable(operation, error);
  const { applied, contact, cause } = error;
  return new QuotaUnavailableError(operation, { applied, contact, cause });
}

function beyondMax(): InvalidWriteError {
  return new InvalidWriteError(
    { where: 'size', allowed: 'sums up to 2^53 − 1 bytes' },
    'With this write the tenant would hold more than 2^53 − 1 bytes, which cannot be counted exactly.',
  );
}
