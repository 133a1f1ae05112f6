import BTree from 'sorted-btree';

/** Something that falls due: an entry at its expiry, a reservation at its deadline. */
export interface Due {
  /** Ms since the epoch by the tracker's clock; Infinity: never. */
  readonly dueAt: number;
  /** Unique in its tenant; parts items that fall due together. */
  readonly seq: number;
}

const byDue = (a: Due, b: Due): number => a.dueAt - b.dueAt || a.seq - b.seq;

/** Items in the order in which they fall due. What never does is not kept. Every step is O(log n). */
export class ExpiryIndex<T extends Due> {
  private readonly tree = new BTree<T>(undefined, byDue);

  add(item: T): void {
    if (Number.isFinite(item.dueAt)) this.tree.set(item, undefined);
  }

  delete(item: T): void {
    if (Number.isFinite(item.dueAt)) this.tree.delete(item);
  }

  /** The first item that is due at `now`; undefined: none is. */
  due(now: number): T | undefined {
    const first = this.tree.minKey();
    return first !== undefined && first.dueAt <= now ? first : undefined;
  }

  /** All items, the next to fall due first. */
  inOrder(): Iterable<T> {
    return this.tree.keys();
  }
}
