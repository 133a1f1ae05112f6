import type { DataSource } from 'typeorm';
import { z } from 'zod';
import { QuotaDecision } from '../../core/decision';
import {
  DecisionStore,
  type DecisionBounds,
  type DecisionCoverage,
  type DecisionCursor,
  type DecisionPage,
  type DecisionRecord,
  type Span,
  type TenantImpact,
} from '../../core/decision-store';
import { exactNumber } from './bigint';
import { ALONG_THE_INDEX, COVERAGE, IMPACT, PAGE, TRIM, WRITE } from './decision-sql';
import { inTransaction, withConnection, type Row } from './session';

/** Rows that one statement removes at most. */
const TRIM_ROWS = 2_000;
/** After every tenant id, in the order of the table. */
const BEHIND_ALL = '~';

const count = z.unknown().transform((value) => exactNumber(value));
const orNull = z.unknown().transform((value) => (value === null ? null : exactNumber(value)));

const row = z.object({
  ...{ id: count, tenant_id: z.string(), at: count, bytes: count, delta_bytes: count },
  ...{ used_before_bytes: orNull, quota_bytes: orNull, hard_bytes: count },
  decision: z.enum(QuotaDecision),
  mode: z.enum(['off', 'shadow', 'enforce']),
});

const coverage = z.object({
  ...{ writes: count, refused_writes: count, tenants: count, refused_tenants: count },
  ...{ refused_bytes: count, missed: count, oldest_at: orNull, trimmed: z.boolean() },
});

const impact = z.object({
  ...{ tenant_id: z.string(), writes: count, shadow_refusals: count, refusals: count },
  ...{ refused_bytes: count, beyond: count, first_at: count, last_at: count },
});

/** The record of decisions in PostgreSQL, in the table `quota_decisions` of `quotaMigrations`. */
export class PostgresDecisionStore extends DecisionStore {
  constructor(private readonly dataSource: DataSource) {
    super();
  }

  async write(records: readonly DecisionRecord[], missed: number): Promise<void> {
    const column = <K extends keyof DecisionRecord>(name: K): DecisionRecord[K][] =>
      records.map((record) => record[name]);
    const columns = [
      ...[column('tenant'), column('at'), column('bytes'), column('deltaBytes')],
      ...[column('usedBeforeBytes'), column('quotaBytes'), column('hardBytes')],
      ...[column('decision'), column('mode'), Math.min(missed, 2 ** 31 - 1)],
    ];
    await withConnection(this.dataSource, 'record', (session) => session.query(WRITE, columns));
  }

  async trim({ maxRows, before }: DecisionBounds): Promise<boolean> {
    return withConnection(this.dataSource, 'record', async (session) => {
      const [found] = await session.query(TRIM, [maxRows, before, TRIM_ROWS]);
      return exactNumber(found?.['gone']) >= TRIM_ROWS;
    });
  }

  async page(query: {
    span: Span;
    tenant?: string;
    after: DecisionCursor | null;
    limit: number;
  }): Promise<DecisionPage> {
    const { span, tenant, after, limit } = query;
    const place = after ?? { tenant: tenant ?? '', at: span.from - 1, id: 0 };
    const last = tenant ?? BEHIND_ALL;
    const values = [span.from, span.to, place.tenant, place.at, place.id, last, limit];
    return inTransaction(this.dataSource, 'simulate', async (session) => {
      await session.query(ALONG_THE_INDEX);
      const found = (await session.query(PAGE, values)).map((raw) => row.parse(raw));
      const end = found.length < limit ? undefined : found.at(-1);
      return {
        rows: found.map(toRecord),
        next: end === undefined ? null : { tenant: end.tenant_id, at: end.at, id: end.id },
      };
    });
  }

  async coverage(span: Span): Promise<DecisionCoverage> {
    return withConnection(this.dataSource, 'impact', async (session) => {
      const [raw] = await session.query(COVERAGE, [span.from, span.to]);
      const found = coverage.parse(raw);
      const { writes, tenants, trimmed } = found;
      return {
        ...{ writes, tenants, trimmed, refusedWrites: found.refused_writes },
        ...{ refusedTenants: found.refused_tenants, refusedBytes: found.refused_bytes },
        ...{ missedWrites: found.missed, oldestAt: found.oldest_at },
      };
    });
  }

  async impact(query: {
    span: Span;
    after: string;
    limit: number;
  }): Promise<{ tenants: TenantImpact[]; next: string | null }> {
    const { span, after, limit } = query;
    return withConnection(this.dataSource, 'impact', async (session) => {
      const found = await session.query(IMPACT, [span.from, span.to, after, limit + 1]);
      const tenants = found.slice(0, limit).map(toImpact);
      return { tenants, next: found.length > limit ? (tenants.at(-1)?.tenant ?? null) : null };
    });
  }
}

function toRecord(found: z.output<typeof row>): DecisionRecord {
  const { tenant_id: tenant, at, bytes, decision, mode } = found;
  return {
    ...{ tenant, at, bytes, decision, mode, deltaBytes: found.delta_bytes },
    ...{ usedBeforeBytes: found.used_before_bytes, quotaBytes: found.quota_bytes },
    hardBytes: found.hard_bytes,
  };
}

function toImpact(raw: Row): TenantImpact {
  const found = impact.parse(raw);
  return {
    ...{ tenant: found.tenant_id, writes: found.writes, refusals: found.refusals },
    ...{ shadowRefusals: found.shadow_refusals, refusedBytes: found.refused_bytes },
    ...{ furthestBeyondBytes: found.beyond, firstAt: found.first_at, lastAt: found.last_at },
  };
}
