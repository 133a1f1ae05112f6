import { Budget, inTime } from './budget';
import { errorEvent } from './error-event';
import { KillSwitchError } from './errors';
import type { QuotaObserver } from './observer';
import type { SharedQuotaCache } from './quota-source';
import { overallMode, type QuotaRollout, type RolloutSources } from './quota-rollout';
import { parseRolloutPatch } from './rollout-change';
import type { Rollout } from './rollout';
import type {
  RolloutChange,
  RolloutChangeOptions,
  RolloutPatch,
  RolloutRow,
  RolloutStore,
} from './rollout-store';
import { parseRolloutWord, rolloutWord } from './rollout-word';
import { Rounds } from './rounds';
import type { QuotaMode } from './quota';

/** Ms that an operator waits for a change, and for a look at the table. */
const CHANGE_MS = 2_000;
/** Ms that a start waits for the table; after that the environment's values hold until it is there. */
const START_MS = 1_000;

/** The rollout in force in one instance, and where it comes from. */
export interface RolloutReport extends Rollout {
  readonly mode: QuotaMode;
  readonly killSwitch: boolean;
  readonly sources: RolloutSources;
  readonly version: number;
  readonly changedBy: string | null;
  readonly changedAt: Date | null;
  /** False: the table could not be read just now, and this is what the instance last knew. */
  readonly confirmed: boolean;
}

/**
 * Changes the rollout at run time, for all instances, and keeps this one up to date: each is told of a
 * change, looks at the table when it may have missed one, and does so from time to time anyway.
 */
export class RolloutAdmin {
  private readonly rounds: Rounds | null;
  private looking: Promise<void> | undefined;
  private next: Promise<void> | undefined;
  /** Rises with every change made here, so that a look that began before is not believed. */
  private changes = 0;

  constructor(
    private readonly parts: {
      readonly store: RolloutStore;
      readonly rollout: QuotaRollout;
      readonly shared: SharedQuotaCache | null;
      readonly observer: QuotaObserver;
    },
    /** Ms between two looks at the table, at most; 0: only when there is a reason. */
    refreshMs: number,
  ) {
    const round = async (): Promise<'done'> => {
      await this.look();
      return 'done';
    };
    this.rounds =
      refreshMs > 0 ? new Rounds(refreshMs, round, (error) => this.failed('rollout', error)) : null;
  }

  /** Looks at the table for a second at most, and goes on looking. Never rejects. */
  async start(): Promise<void> {
    try {
      await inTime('rollout', START_MS, this.look());
    } catch (error) {
      this.failed('rollout', error);
    }
    this.rounds?.start();
  }

  async stop(): Promise<void> {
    await this.rounds?.stop();
  }

  /** Something was told of on the channel of changes; null: word of a change may have been missed. */
  hear(word: string | null): void {
    const row = word === null ? null : parseRolloutWord(word);
    // Newer, and so it holds from here on. The table, which is the truth, is asked all the same.
    if (row !== null && row.version > this.parts.rollout.row.version) this.take(row);
    this.look().catch((error: unknown) => this.failed('rollout', error));
  }

  /** What holds here. Never rejects: see `confirmed`. */
  async report(): Promise<RolloutReport> {
    let confirmed = true;
    try {
      await inTime('rollout', CHANGE_MS, this.look());
    } catch (error) {
      this.failed('rollout', error);
      confirmed = false;
    }
    return this.describe(confirmed);
  }

  /**
   * Changes what is given and leaves the rest. Holds on this instance when it resolves, and on all
   * that hear of it for their next request.
   *
   * @throws InvalidWriteError, RolloutConflictError
   * @throws KillSwitchError when it would turn on what the environment has turned off
   * @throws QuotaUnavailableError after 2 s at most; `applied: 'unknown'`: it may be made all the same
   */
  async change(patch: RolloutPatch, options: RolloutChangeOptions): Promise<RolloutReport> {
    const { store, rollout } = this.parts;
    const checked = parseRolloutPatch(patch);
    if (checked.enabled === true && rollout.killSwitch) throw new KillSwitchError();
    const change = async (): Promise<void> => {
      const row = await store.change(checked, options);
      this.changes += 1;
      if (row.version > rollout.row.version) this.take(row);
      await this.announce(row);
    };
    // What is late goes on: a change that is made after all must be told of.
    await new Budget(CHANGE_MS).wait('rollout_change', change());
    return this.describe(true);
  }

  /** Back to what the environment says, on every instance. Throws as {@link change}. */
  reset(options: RolloutChangeOptions): Promise<RolloutReport> {
    return this.change({ enabled: null, logOnly: null, percent: null, tenants: null }, options);
  }

  /** Changes, the latest first. @throws InvalidWriteError, QuotaUnavailableError */
  history(query: {
    before?: number;
    limit: number;
  }): Promise<{ changes: RolloutChange[]; next: number | null }> {
    return this.parts.store.history(query);
  }

  /** One look at a time; who comes during one gets the next, since that one may have begun too early. */
  private look(): Promise<void> {
    if (this.next !== undefined) return this.next;
    if (this.looking === undefined) return this.begin();
    this.next = this.looking
      .catch(() => undefined)
      .then(() => {
        this.next = undefined;
        return this.begin();
      });
    return this.next;
  }

  private begin(): Promise<void> {
    this.looking = this.read().finally(() => {
      this.looking = undefined;
    });
    return this.looking;
  }

  private async read(): Promise<void> {
    const { store, rollout } = this.parts;
    const before = this.changes;
    const row = await store.load();
    // A change was made here meanwhile, and it is newer.
    if (before !== this.changes) return;
    // The table is the truth, also where it was put back to an older state.
    if (row.version !== rollout.row.version) this.take(row);
  }

  private take(row: RolloutRow): void {
    const { rollout, observer } = this.parts;
    rollout.apply(row);
    const { version, actor } = row;
    observer.emit('rollout', { version, actor, mode: overallMode(rollout.current) });
  }

  private async announce(row: RolloutRow): Promise<void> {
    try {
      await this.parts.shared?.announceRollout(rolloutWord(row), row.version);
    } catch (error) {
      // The others find it in the table.
      this.failed('rollout_announce', error);
    }
  }

  private describe(confirmed: boolean): RolloutReport {
    const { current, row, sources, killSwitch } = this.parts.rollout;
    return {
      ...current,
      mode: overallMode(current),
      ...{ killSwitch, sources, confirmed },
      ...{ version: row.version, changedBy: row.actor, changedAt: row.changedAt },
    };
  }

  private failed(operation: string, error: unknown): void {
    this.parts.observer.emit('error', errorEvent(operation, error));
  }
}
