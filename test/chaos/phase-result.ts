import type { Findings } from './findings';
import type { Slowness } from './latency';
import type { Store } from './options';

/** What one store's part of the run came to. */
export interface PhaseResult {
  readonly store: Store;
  readonly seconds: number;
  readonly requests: number;
  readonly statuses: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly findings: Findings;
  readonly latency: Readonly<Record<string, Slowness>>;
  readonly samples: number;
  readonly skippedSamples: number;
  /** Readings that were held against what had to be there, and those of them after the end. */
  readonly readings: number;
  readonly valuesRead: number;
  /** Values that a write answered with 503 has taken without leaving its own; told, no violation. */
  readonly goneBehind503: number;
  /** null: it never did. */
  readonly convergedMs: number | null;
  /** Whether it did after a reconciliation of all tenants; null: that was not needed. */
  readonly mended: boolean | null;
}
