import type { DataSource } from 'typeorm';
import {
  InvalidOptionsError,
  QuotaBank,
  parseTenantId,
  type BankStanding,
  type FoldBatch,
  type Grant,
  type GrantedTenant,
  type GrantReply,
  type GrantRequest,
  type JournalDepth,
} from '../../core';
import { unavailable } from './database-errors';
import { generationOf, invalid, whole } from './ledger-arguments';
import { LedgerCalls, type LedgerCallOptions } from './ledger-calls';
import { journalRow, lowerableRow, must, standingRow, tenantRow } from './ledger-replies';
import { JOURNAL, LOWERABLE_TENANTS, PENDING_TENANTS, STANDING } from './ledger-sql';

export type PostgresQuotaBankOptions = LedgerCallOptions;

/** Items in one batch, and tenants in one page; both asked for again while there are more. */
const MAX_PAGE = 1_000;

/** Beside the four of the ledger, so that a row that somebody holds leaves some of the pool. */
const CALLS_A_TENANT = 2;

/**
 * The bank in PostgreSQL: the rows of {@link PostgresUsageTracker}'s ledger say what is granted, and
 * its own entries are the journal of what it has admitted (docs/ledger.md, "Under a bank"). Whoever
 * grants or folds, and wherever it is cut off, each step is one function and one transaction.
 */
export class PostgresQuotaBank extends QuotaBank {
  private readonly calls: LedgerCalls;

  /** @throws InvalidOptionsError unless the DataSource is one of PostgreSQL. */
  constructor(dataSource: DataSource, options: PostgresQuotaBankOptions = {}) {
    super();
    if (dataSource.options.type !== 'postgres') {
      throw new InvalidOptionsError([
        `dataSource: must be of type postgres, not ${dataSource.options.type}`,
      ]);
    }
    this.calls = new LedgerCalls(dataSource, options, CALLS_A_TENANT);
  }

  async grant(request: GrantRequest): Promise<GrantReply> {
    const { tenant, seen, wantBytes, hardBytes, chunkBytes, rebuilt = false } = request;
    const args = [
      ...[whole(seen, 'seen'), whole(wantBytes, 'wantBytes'), whole(hardBytes, 'hardBytes')],
      ...[whole(chunkBytes, 'chunkBytes'), rebuilt],
    ];
    const reply = await this.calls.run('grant', { tenant, args }, 'again');
    const generation = must(reply.generation, 'generation');
    if (reply.code === 'lost' || reply.code === 'dropping') {
      return { outcome: reply.code, generation };
    }
    const [seq, bytes] = [must(reply.seq, 'seq'), must(reply.granted, 'granted')];
    const drawnBytes = must(reply.drawn, 'drawn');
    return { outcome: 'granted', grant: { generation, seq, bytes }, drawnBytes };
  }

  async lower(tenant: string, { generation, seq, bytes }: Grant): Promise<boolean> {
    const args = [generationOf(generation), whole(seq, 'seq'), whole(bytes, 'bytes')];
    return (await this.calls.run('lower', { tenant, args })).code === 'lowered';
  }

  async lowerable(after: string | null, limit: number): Promise<GrantedTenant[]> {
    const size = pageSize(limit, 'limit');
    const start = after === null ? '' : parseTenantId(after);
    const rows = await this.calls.query('lowerable', LOWERABLE_TENANTS, start, [size]);
    return rows.map((row) => lowerableRow.parse(row));
  }

  async beginFold(tenant: string, max: number): Promise<FoldBatch | null> {
    const args = [pageSize(max, 'max')];
    const reply = await this.calls.run('fold_begin', { tenant, args }, 'again');
    if (reply.code === 'none') return null;
    const { unkeyed, refunds, ...batch } = must(reply.batch, 'batch');
    return { ...batch, unkeyedBytes: unkeyed, refundBytes: refunds };
  }

  async endFold(tenant: string, number: number): Promise<void> {
    await this.calls.run('fold_end', { tenant, args: [whole(number, 'number')] });
  }

  async dropped(tenant: string, generation: string): Promise<void> {
    await this.calls.run('dropped', { tenant, args: [generationOf(generation)] });
  }

  async standing(tenant: string): Promise<BankStanding | null> {
    parseTenantId(tenant);
    const [row] = await this.calls.query('standing', STANDING, tenant, []);
    if (row === undefined) return null;
    const parsed = standingRow.safeParse(row);
    if (!parsed.success) throw unavailable('standing', parsed.error);
    const { granted: grantedBytes, drawn: drawnBytes, ...rest } = parsed.data;
    return { ...rest, grantedBytes, drawnBytes };
  }

  async pending(after: string | null, limit: number): Promise<string[]> {
    const size = pageSize(limit, 'limit');
    const start = after === null ? '' : parseTenantId(after);
    const rows = await this.calls.query('pending', PENDING_TENANTS, start, [size]);
    return rows.map((row) => tenantRow.pick({ tenant_id: true }).parse(row).tenant_id);
  }

  async journal(most: number): Promise<JournalDepth> {
    if (whole(most, 'most') < 1) throw invalid('most', 'at least 1');
    const [row] = await this.calls.query('journal', JOURNAL, '', [most]);
    return journalRow.parse(row);
  }
}

function pageSize(value: number, where: string): number {
  if (whole(value, where) < 1) throw invalid(where, 'at least 1');
  return Math.min(value, MAX_PAGE);
}
