/**
 * - `stored`, `deleted`: acknowledged; a delete that found nothing as well
 * - `refused`: answered that nothing was done
 * - `aborted`: the client went before it had sent the whole body; nothing may be stored of it
 * - `unknown`: it may have had its effect, or may still have it
 */
export type Outcome = 'pending' | 'stored' | 'deleted' | 'refused' | 'aborted' | 'unknown';

/** A write or delete of a key as its client saw it. Times in ms since the epoch. */
export interface Op {
  readonly id: number;
  readonly kind: 'put' | 'delete';
  readonly size: number;
  readonly ttlMs: number | null;
  readonly start: number;
  /** Infinity while it is under way. */
  end: number;
  outcome: Outcome;
  /** The status it was answered; absent: none. */
  answer?: number;
}

/** What is settled about a key: its last operation, which nothing can have changed. */
export interface Settled {
  readonly op: Op;
  /** What was refused since; it must not have changed anything. */
  readonly refusedSince: readonly Op[];
}

/** So long after an answer of unknown outcome may its effect still come, or its hold still be there. */
export const GHOST_MS = 10_000;
/** A refusal that took so long may have been tried twice inside, with the first try still to come. */
const SLOW_MS = 200;
/** Nothing under way looks back further. */
const KEPT_MS = 40_000;
const PRUNE_AT = 60;

/** The client's knowledge of one key. */
export class KeyHistory {
  private ops: Op[] = [];

  begin(op: Op): void {
    if (this.ops.length >= PRUNE_AT) this.prune(op.start - KEPT_MS);
    this.ops.push(op);
  }

  /** Id of the operation that was begun last; -1: none. */
  get lastId(): number {
    return this.ops.at(-1)?.id ?? -1;
  }

  /** The most bytes that the key's value, or a write on its way, can have had between two moments. */
  peak(from: number, to: number, except?: Op): number {
    const floor = this.settledBefore(from);
    let peak = 0;
    for (const op of this.ops) {
      if (op !== except && op.size > peak && mayCount(op, from, to, floor)) peak = op.size;
    }
    return peak;
  }

  /** The operation whose result must be there; null where that is not sure. */
  settled(): Settled | null {
    const op = this.ops.filter(isDefinite).at(-1);
    if (op === undefined) return null;
    const sure = this.ops.every(
      (other) => other === op || !mayApply(other) || over(other) < op.start,
    );
    if (!sure) return null;
    const refusedSince = this.ops.filter(
      (other) => other.kind === 'put' && !mayApply(other) && other.end > op.start,
    );
    return { op, refusedSince };
  }

  /**
   * An acknowledged value that only writes of unknown outcome came after: it or one of theirs should
   * be there. Null where something may have removed it.
   */
  doubtful(): Op | null {
    const op = this.ops.filter(isDefinite).at(-1);
    if (op?.outcome !== 'stored' || op.ttlMs !== null) return null;
    const others = this.ops.filter(
      (other) => mayApply(other) && other !== op && over(other) >= op.start,
    );
    const writes = others.every(({ kind, ttlMs }) => kind === 'put' && ttlMs === null);
    return writes && others.some(({ outcome }) => outcome === 'unknown') ? op : null;
  }

  /** Start of the last operation that is acknowledged and was over by then. */
  private settledBefore(time: number): number {
    let floor = -Infinity;
    for (const op of this.ops) {
      if (isDefinite(op) && op.end < time && op.start > floor) floor = op.start;
    }
    return floor;
  }

  private prune(time: number): void {
    const floor = this.settledBefore(time);
    this.ops = this.ops.filter((op) => over(op) >= floor || op.end > time);
  }
}

/** Everything a tenant may hold, as its clients know it. */
export class TenantHistory {
  private readonly keys = new Map<string, KeyHistory>();

  of(key: string): KeyHistory {
    let history = this.keys.get(key);
    if (history === undefined) this.keys.set(key, (history = new KeyHistory()));
    return history;
  }

  get all(): ReadonlyMap<string, KeyHistory> {
    return this.keys;
  }

  /** The most that can have been used at any moment of this write, had it been admitted. */
  most(key: string, write: Op): number {
    let sum = 0;
    for (const [name, history] of this.keys) {
      const peak = history.peak(write.start, write.end, write);
      sum += name === key ? Math.max(peak, write.size) : peak;
    }
    return sum;
  }
}

function isDefinite({ outcome }: Op): boolean {
  return outcome === 'stored' || outcome === 'deleted';
}

function mayApply({ outcome }: Op): boolean {
  return outcome !== 'refused' && outcome !== 'aborted';
}

/** When the last effect it may have is over. */
function over({ outcome, start, end }: Op): number {
  const certain = isDefinite({ outcome } as Op) || (outcome === 'refused' && end - start < SLOW_MS);
  return certain ? end : end + GHOST_MS;
}

/** May the write's value have been there, or its hold, between two moments? */
function mayCount(op: Op, from: number, to: number, floor: number): boolean {
  if (op.kind === 'delete' || op.start > to) return false;
  const end = over(op);
  if (end >= from) return true;
  if (op.outcome === 'refused' || op.outcome === 'aborted') return false;
  if (end < floor) return false;
  return op.ttlMs === null || end + op.ttlMs >= from;
}
