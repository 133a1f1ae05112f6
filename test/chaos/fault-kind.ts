import type { Store } from './options';
import type { Stand } from './stand';

/** One fault of the plan, as the seed has it. */
export interface Fault {
  readonly kind: string;
  /** After the load began. */
  readonly atMs: number;
  /** How long it stays. */
  readonly ms: number;
  /** Which process, for faults of one. */
  readonly instance: number;
  /** 0 to 1, for what else there is to choose. */
  readonly roll: number;
}

export type End = () => void | Promise<void>;

export interface FaultKind {
  /** Bounds of how long it stays, in ms. */
  readonly ms: readonly [number, number];
  /** Only with values kept there. */
  readonly store?: Store;
  /** What no two faults may have at a time. */
  readonly takes: (fault: Fault) => readonly string[];
  readonly begin: (stand: Stand, fault: Fault) => Promise<End | undefined>;
}
