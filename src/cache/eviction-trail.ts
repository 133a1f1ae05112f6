import { Injectable } from '@nestjs/common';
import { postgresContact, QuotaUnavailableError } from '@app/quota';
import { DataSource } from 'typeorm';
import { runStatement, wasRefused, type Row } from '../database/run-statement';

const DEADLINE_MS = 4_000;

/** How far an eviction was to go, as it was asked for. */
export type EvictionTarget =
  { readonly all: true } | { readonly targetMb: number } | { readonly targetPercent: number };

/** What was asked for. */
export interface EvictionOrder {
  readonly tenant: string;
  readonly actor: string;
  readonly reason: string | null;
  readonly target: EvictionTarget;
}

/** What one call has done. */
export interface EvictionCounts {
  readonly evicted: number;
  readonly freedBytes: number;
  readonly usedBytes: number;
  readonly done: boolean;
}

/** An eviction as a whole, in however many calls. Bytes. */
export interface EvictionRecord extends EvictionOrder {
  readonly id: number;
  readonly usedBefore: number;
  /** When it was last heard of. */
  readonly usedAfter: number;
  readonly evicted: number;
  readonly freedBytes: number;
  /** False: it goes on, or nobody went on with it. */
  readonly done: boolean;
  readonly beganAt: Date;
  readonly changedAt: Date;
}

const BEGIN = `
  INSERT INTO quota_evictions (tenant_id, actor, reason, target, used_before, used_after)
  VALUES ($1, $2, $3, $4, $5, $5) RETURNING id`;

const IS_OPEN = `
  SELECT 1 FROM quota_evictions
  WHERE id = $1 AND tenant_id = $2 AND target = $3::jsonb AND NOT done`;

const ADD = `
  UPDATE quota_evictions SET
    entries = entries + $3, freed_bytes = freed_bytes + $4, used_after = $5, done = $6,
    changed_at = clock_timestamp()
  WHERE id = $1 AND tenant_id = $2`;

const LIST = `
  SELECT * FROM quota_evictions
  WHERE tenant_id = $1 AND ($2::bigint IS NULL OR id < $2::bigint)
  ORDER BY id DESC LIMIT $3`;

/**
 * Who evicted what, from whom and why: the audit trail of evictions, in the table `quota_evictions`. A
 * row is there before the first entry goes.
 *
 * Every method throws QuotaUnavailableError when PostgreSQL cannot be reached.
 */
@Injectable()
export class EvictionTrail {
  constructor(private readonly dataSource: DataSource) {}

  /** @returns the id of its row */
  async begin(order: EvictionOrder, usedBytes: number): Promise<number> {
    const { tenant, actor, reason, target } = order;
    const [row] = await this.run(BEGIN, [tenant, actor, reason, target, usedBytes]);
    return Number(row?.['id']);
  }

  /** Whether it is an eviction of this tenant to this target, and not done. */
  async isOpen(id: number, { tenant, target }: EvictionOrder): Promise<boolean> {
    return (await this.run(IS_OPEN, [id, tenant, target])).length === 1;
  }

  /** Adds what one call has done. A row of another tenant is left as it is. */
  async add(id: number, tenant: string, counts: EvictionCounts): Promise<void> {
    const { evicted, freedBytes, usedBytes, done } = counts;
    await this.run(ADD, [id, tenant, evicted, freedBytes, usedBytes, done]);
  }

  /** The latest first. @param query `before`: goes on before this id */
  async list(
    tenant: string,
    { before, limit }: { before?: number | undefined; limit: number },
  ): Promise<{ evictions: EvictionRecord[]; next: number | null }> {
    const rows = await this.run(LIST, [tenant, before ?? null, limit + 1]);
    const evictions = rows.slice(0, limit).map(recordOf);
    return { evictions, next: rows.length > limit ? (evictions.at(-1)?.id ?? null) : null };
  }

  private async run(text: string, values: readonly unknown[]): Promise<Row[]> {
    try {
      return await runStatement(this.dataSource, { text, values, deadlineMs: DEADLINE_MS });
    } catch (error) {
      const applied = wasRefused(error) ? 'no' : 'unknown';
      const contact = postgresContact(error);
      throw new QuotaUnavailableError('eviction_trail', { cause: error, applied, contact });
    }
  }
}

function recordOf(row: Row): EvictionRecord {
  return {
    id: Number(row['id']),
    tenant: String(row['tenant_id']),
    actor: String(row['actor']),
    reason: row['reason'] as string | null,
    target: row['target'] as EvictionTarget,
    usedBefore: Number(row['used_before']),
    usedAfter: Number(row['used_after']),
    evicted: Number(row['entries']),
    freedBytes: Number(row['freed_bytes']),
    done: row['done'] === true,
    beganAt: row['began_at'] as Date,
    changedAt: row['changed_at'] as Date,
  };
}
