import type { QuotaDecision } from './decision';
import type { QuotaMode } from './quota';

/** One decision on a write, as it is kept for later questions. Bytes. */
export interface DecisionRecord {
  readonly tenant: string;
  /** Ms since the epoch, by the clock of the instance that decided. */
  readonly at: number;
  /** Size of the write. */
  readonly bytes: number;
  /** What it changes of used once it is stored; negative where it shrinks an entry. */
  readonly deltaBytes: number;
  /** Null, as `quotaBytes`: it was refused for its size alone, and the ledger was not asked. */
  readonly usedBeforeBytes: number | null;
  readonly quotaBytes: number | null;
  readonly hardBytes: number;
  readonly decision: QuotaDecision;
  readonly mode: QuotaMode;
}

/** A place in the record: after this row of this tenant. */
export interface DecisionCursor {
  readonly tenant: string;
  /** Null: after all of its rows. */
  readonly at: number | null;
  /** A number that tells rows of one moment apart. */
  readonly id: number;
}

export interface DecisionPage {
  readonly rows: readonly DecisionRecord[];
  /** Null at the end. */
  readonly next: DecisionCursor | null;
}

/** A stretch of time, in ms since the epoch, both ends in it. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** What the record knows of a stretch of time, and what it does not. */
export interface DecisionCoverage {
  /** Writes in it, and how many of them were refused, or would have been. */
  readonly writes: number;
  readonly refusedWrites: number;
  readonly tenants: number;
  readonly refusedTenants: number;
  readonly refusedBytes: number;
  /** Writes that were not recorded, as far as the instances could tell. */
  readonly missedWrites: number;
  /** The oldest row kept, of any time; null: none. */
  readonly oldestAt: number | null;
  /** Older rows than that have gone, to keep within the bounds. */
  readonly trimmed: boolean;
}

/** What enforcing would have meant for one tenant. */
export interface TenantImpact {
  readonly tenant: string;
  /** Writes in shadow mode that would have been refused. */
  readonly shadowRefusals: number;
  /** Writes that were refused. */
  readonly refusals: number;
  /** All of its writes that were recorded. */
  readonly writes: number;
  /** Sum of the sizes of these refusals of both kinds. */
  readonly refusedBytes: number;
  /** How far the furthest of them would have gone beyond the limit. */
  readonly furthestBeyondBytes: number;
  readonly firstAt: number;
  readonly lastAt: number;
}

export interface DecisionBounds {
  readonly maxRows: number;
  /** Rows from before this go, in ms since the epoch. */
  readonly before: number;
}

/** A bounded record of decisions. Any method may throw QuotaUnavailableError. */
export abstract class DecisionStore {
  /** Adds rows. @param missed decisions that should have come before these and were lost */
  abstract write(records: readonly DecisionRecord[], missed: number): Promise<void>;

  /** Removes the oldest rows beyond the bounds, some thousand at most; true: there are more. */
  abstract trim(bounds: DecisionBounds): Promise<boolean>;

  /** Rows by tenant, then time. */
  abstract page(query: {
    span: Span;
    tenant?: string;
    after: DecisionCursor | null;
    limit: number;
  }): Promise<DecisionPage>;

  abstract coverage(span: Span): Promise<DecisionCoverage>;

  /** Tenants with refusals of either kind in this time, in the order of their ids. */
  abstract impact(query: {
    span: Span;
    after: string;
    limit: number;
  }): Promise<{ tenants: TenantImpact[]; next: string | null }>;
}
