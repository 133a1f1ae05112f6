import {
  DecisionStore,
  type DecisionBounds,
  type DecisionCoverage,
  type DecisionPage,
  type DecisionRecord,
} from '../../core/decision-store';

const NOTHING: DecisionCoverage = {
  ...{ writes: 0, refusedWrites: 0, tenants: 0, refusedTenants: 0, refusedBytes: 0 },
  ...{ missedWrites: 0, oldestAt: null, trimmed: false },
};

/** Where there is no database nothing is recorded, and nothing is known. */
export class NoDecisions extends DecisionStore {
  async write(_records: readonly DecisionRecord[], _missed: number): Promise<void> {
    // Nowhere to write to.
  }

  async trim(_bounds: DecisionBounds): Promise<boolean> {
    return false;
  }

  async page(): Promise<DecisionPage> {
    return { rows: [], next: null };
  }

  async coverage(): Promise<DecisionCoverage> {
    return NOTHING;
  }

  async impact(): Promise<{ tenants: []; next: null }> {
    return { tenants: [], next: null };
  }
}
