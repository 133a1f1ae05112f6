import type { DataSource } from 'typeorm';
import { z } from 'zod';
import { RolloutConflictError } from '../../core/errors';
import { parseChangeOptions } from '../../core/quota-change';
import { applyPatch, parseHistoryQuery, parseRolloutPatch } from '../../core/rollout-change';
import {
  NOTHING_SET,
  RolloutStore,
  type RolloutChange,
  type RolloutChangeOptions,
  type RolloutPatch,
  type RolloutRow,
} from '../../core/rollout-store';
import { unavailable } from './database-errors';
import { HISTORY, LOAD, LOCK, PUT, RECORD } from './rollout-sql';
import { inTransaction, withConnection, type Row } from './session';

const tenants = z.array(z.string()).nullable();
const toggle = z.boolean().nullable();
const values = z.object({
  enabled: toggle,
  logOnly: toggle,
  percent: z.number().min(0).max(100).nullable(),
  tenants,
});

const row = z
  .object({
    enabled: toggle,
    log_only: toggle,
    percent: z.string().transform(Number).pipe(z.number().min(0).max(100)).nullable(),
    tenants,
    version: z.int().min(1),
    actor: z.string(),
    changed_at: z.date(),
  })
  .transform(({ log_only: logOnly, changed_at: changedAt, ...rest }) => ({
    ...rest,
    ...{ logOnly, changedAt },
  }));

const change = z
  .object({
    ...{ version: z.int().min(1), actor: z.string(), changed_at: z.date() },
    ...{ before: values, after: values },
  })
  .transform(({ changed_at: changedAt, ...rest }) => ({ ...rest, changedAt }));

/** The rollout in PostgreSQL, in the tables of `quotaMigrations`. */
export class PostgresRolloutStore extends RolloutStore {
  constructor(private readonly dataSource: DataSource) {
    super();
  }

  async load(): Promise<RolloutRow> {
    return withConnection(this.dataSource, 'rollout', async (session) =>
      toRow((await session.query(LOAD))[0]),
    );
  }

  async change(patch: RolloutPatch, options: RolloutChangeOptions): Promise<RolloutRow> {
    const changes = parseRolloutPatch(patch);
    const { actor, expectedVersion } = parseChangeOptions(options);
    try {
      return await inTransaction(this.dataSource, 'rollout_change', async (session) => {
        await session.query(LOCK);
        const before = toRow((await session.query(LOAD))[0]);
        if (expectedVersion !== undefined && expectedVersion !== before.version) {
          throw new RolloutConflictError(before.version);
        }
        const after = applyPatch(before, changes);
        const { enabled, logOnly, percent, tenants } = after;
        const version = before.version + 1;
        const put = [enabled, logOnly, percent, tenants, version, actor];
        const changed = toRow((await session.query(PUT, put))[0]);
        const [from, to] = [applyPatch(before, {}), after].map((side) => JSON.stringify(side));
        await session.query(RECORD, [version, actor, from, to, changed.changedAt]);
        return changed;
      });
    } catch (error) {
      throw unavailable('rollout_change', error);
    }
  }

  async history(query: {
    before?: number;
    limit: number;
  }): Promise<{ changes: RolloutChange[]; next: number | null }> {
    const { before, limit } = parseHistoryQuery(query);
    return withConnection(this.dataSource, 'rollout', async (session) => {
      const found = await session.query(HISTORY, [before, limit + 1]);
      const changes = found.slice(0, limit).map((raw) => change.parse(raw));
      return { changes, next: found.length > limit ? (changes.at(-1)?.version ?? null) : null };
    });
  }
}

function toRow(raw: Row | undefined): RolloutRow {
  return raw === undefined ? NOTHING_SET : row.parse(raw);
}
