/** What was set at run time. Null: that value is the environment's. */
export interface RolloutValues {
  readonly enabled: boolean | null;
  readonly logOnly: boolean | null;
  /** 0 to 100, with at most two decimals. */
  readonly percent: number | null;
  /** Takes the place of the environment's list, and does not add to it. */
  readonly tenants: readonly string[] | null;
}

/** The rollout as it is kept for all instances. */
export interface RolloutRow extends RolloutValues {
  /** Rises by one with every change; 0: nothing was ever set at run time. */
  readonly version: number;
  /** Who changed it last; null at version 0. */
  readonly actor: string | null;
  readonly changedAt: Date | null;
}

/** A change: what is absent keeps its value, null goes back to the environment's. */
export type RolloutPatch = { readonly [K in keyof RolloutValues]?: RolloutValues[K] };

export interface RolloutChangeOptions {
  /** Who asks for the change; kept in the history. */
  readonly actor: string;
  /** The version the change was made from; another one now → RolloutConflictError. */
  readonly expectedVersion?: number;
}

/** One line of the history. */
export interface RolloutChange {
  readonly version: number;
  readonly actor: string;
  readonly changedAt: Date;
  readonly before: RolloutValues;
  readonly after: RolloutValues;
}

export const NOTHING_SET: RolloutRow = {
  ...{ version: 0, enabled: null, logOnly: null, percent: null, tenants: null },
  ...{ actor: null, changedAt: null },
};

/** Where the rollout is kept. Any method may throw QuotaUnavailableError. */
export abstract class RolloutStore {
  /** What is set; version 0 when nothing ever was. */
  abstract load(): Promise<RolloutRow>;

  /**
   * Changes the row and writes the history, in one transaction.
   *
   * @throws InvalidWriteError before any I/O, RolloutConflictError
   */
  abstract change(patch: RolloutPatch, options: RolloutChangeOptions): Promise<RolloutRow>;

  /** Changes, the latest first, of versions below `before` where it is given. */
  abstract history(query: {
    before?: number;
    limit: number;
  }): Promise<{ changes: RolloutChange[]; next: number | null }>;
}
