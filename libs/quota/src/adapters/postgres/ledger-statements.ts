import type { DataSource } from 'typeorm';
import { isOfOneCall, isRefusal, unavailable } from './database-errors';
import type { LedgerOperation } from './ledger-replies';
import { callsOf } from './ledger-sql';
import { inTransaction, withConnection, type Row, type Session } from './session';
import type { Together } from './tenant-lanes';

/** One call of a function, or a whole statement whose first parameter is the tenant. */
export type Step = { readonly tenant: string; readonly args: readonly unknown[] } & (
  | { readonly operation: LedgerOperation; readonly text?: undefined }
  | { readonly operation: string; readonly text: string }
);

/** The functions tell so that they work at READ COMMITTED only. */
const WRONG_ISOLATION = '25001';

/** Those that change a few rows: many of a tenant cost little more than one, in one statement. */
const JOINED: ReadonlySet<string> = new Set<LedgerOperation>([
  ...(['reserve', 'check', 'commit', 'release', 'remove', 'refund'] as const),
]);

/** Whether a step may share its statement with others of its tenant. */
export function joins({ text, operation }: Step): boolean {
  return text === undefined && JOINED.has(operation);
}

/** Sends steps of one tenant: one statement, and by that one transaction. */
export class LedgerStatements {
  /** The database's default isolation is another one: statements are wrapped in transactions. */
  private wrap = false;

  constructor(private readonly dataSource: DataSource) {}

  /**
   * @param steps one, or several that all {@link joins}
   * @returns the rows of each; `apart` when the server refused all of them for what one may have asked
   * @throws QuotaUnavailableError; `applied` is `unknown` when the statement got no answer.
   */
  async send(steps: readonly Step[]): Promise<Together<readonly Row[]>> {
    const operation = steps[0]?.operation ?? '';
    const { text, values } = statementOf(steps);
    try {
      const rows = await this.query(operation, text, values);
      return steps.map((step, i) => (step.text === undefined ? [replyOf(rows, i)] : rows));
    } catch (error) {
      if (steps.length > 1 && isOfOneCall((error as Error).cause)) return 'apart';
      throw error;
    }
  }

  private async query(operation: string, text: string, values: unknown[]): Promise<Row[]> {
    // Without a COMMIT nothing is done, whatever becomes of the connection.
    const run = (inDoubt: 'no' | 'unknown') => async (session: Session) => {
      try {
        return await session.query(text, values);
      } catch (error) {
        throw unavailable(operation, error, isRefusal(error) ? 'no' : inDoubt);
      }
    };
    if (!this.wrap) {
      try {
        return await withConnection(this.dataSource, operation, run('unknown'));
      } catch (error) {
        if (codeOf((error as Error).cause) !== WRONG_ISOLATION) throw error;
        this.wrap = true;
      }
    }
    return inTransaction(this.dataSource, operation, run('no'));
  }
}

/** PostgreSQL's code of an error that the server has sent. */
export function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}

function statementOf(steps: readonly Step[]): { text: string; values: unknown[] } {
  const values = [steps[0]?.tenant, ...steps.flatMap(({ args }) => args)];
  const own = steps[0]?.text;
  if (own !== undefined) return { text: own, values };
  return { text: callsOf(steps.map(({ operation }) => operation as LedgerOperation)), values };
}

function replyOf(rows: readonly Row[], i: number): Row {
  return { reply: rows[0]?.[String(i)] };
}
