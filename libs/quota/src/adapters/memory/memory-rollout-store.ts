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

/** Changes that are remembered; the oldest go. */
const MOST_CHANGES = 1_000;

/** The rollout of one instance without a database, and of tests; gone with the process. */
export class MemoryRolloutStore extends RolloutStore {
  private row = NOTHING_SET;
  private readonly log: RolloutChange[] = [];

  async load(): Promise<RolloutRow> {
    return this.row;
  }

  async change(patch: RolloutPatch, options: RolloutChangeOptions): Promise<RolloutRow> {
    const changes = parseRolloutPatch(patch);
    const { actor, expectedVersion } = parseChangeOptions(options);
    const { version } = this.row;
    if (expectedVersion !== undefined && expectedVersion !== version) {
      throw new RolloutConflictError(version);
    }
    const [before, after] = [applyPatch(this.row, {}), applyPatch(this.row, changes)];
    const made = { version: version + 1, actor, changedAt: new Date() };
    this.row = { ...after, ...made };
    this.log.unshift({ ...made, before, after });
    this.log.length = Math.min(this.log.length, MOST_CHANGES);
    return this.row;
  }

  async history(query: {
    before?: number;
    limit: number;
  }): Promise<{ changes: RolloutChange[]; next: number | null }> {
    const { before, limit } = parseHistoryQuery(query);
    const found = this.log.filter(({ version }) => before === null || version < before);
    const changes = found.slice(0, limit);
    return { changes, next: found.length > limit ? (changes.at(-1)?.version ?? null) : null };
  }
}
