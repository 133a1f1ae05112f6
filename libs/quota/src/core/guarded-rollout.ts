import type { Breaker } from './breaker';
import { inTime } from './budget';
import {
  RolloutStore,
  type RolloutChange,
  type RolloutChangeOptions,
  type RolloutPatch,
  type RolloutRow,
} from './rollout-store';

/** Ms for a look at the table; no request waits for it. */
const LOAD_DEADLINE_MS = 2_000;

/** The rollout's store behind a breaker: while it is away, every operation fails at once. */
export class GuardedRolloutStore extends RolloutStore {
  constructor(
    private readonly inner: RolloutStore,
    private readonly breaker: Breaker,
  ) {
    super();
  }

  load(): Promise<RolloutRow> {
    return this.breaker.run('rollout', () =>
      inTime('rollout', LOAD_DEADLINE_MS, this.inner.load()),
    );
  }

  change(patch: RolloutPatch, options: RolloutChangeOptions): Promise<RolloutRow> {
    return this.breaker.run('rollout_change', () => this.inner.change(patch, options));
  }

  history(query: {
    before?: number;
    limit: number;
  }): Promise<{ changes: RolloutChange[]; next: number | null }> {
    return this.breaker.run('rollout', () => this.inner.history(query));
  }
}
