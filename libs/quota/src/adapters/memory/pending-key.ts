import BTree from 'sorted-btree';

/** The reservations of one key that are held: their sizes, as a sorted bag, and what was seen meanwhile. */
export class PendingKey {
  /** size → how many reservations have it. */
  private readonly sizes = new BTree<number, number>(undefined, (a, b) => a - b);

  private count = 0;
  /** How many of them have lapsed. */
  lapsed = 0;

  /** The highest version committed or removed while any of these reservations was open. */
  highestVersion = 0;

  get isEmpty(): boolean {
    return this.count === 0;
  }

  /** A write is on its way, for all that is known. */
  get isOpen(): boolean {
    return this.count > this.lapsed;
  }

  get largest(): number {
    return this.sizes.maxKey() ?? 0;
  }

  /** The largest size once one reservation of `size` has left. */
  largestWithout(size: number): number {
    const { largest } = this;
    if (size < largest || (this.sizes.get(size) ?? 0) > 1) return largest;
    return this.sizes.nextLowerKey(largest) ?? 0;
  }

  add(size: number): void {
    this.count += 1;
    this.sizes.set(size, (this.sizes.get(size) ?? 0) + 1);
  }

  remove(size: number): void {
    this.count -= 1;
    const count = this.sizes.get(size) ?? 0;
    if (count > 1) this.sizes.set(size, count - 1);
    else this.sizes.delete(size);
  }
}
