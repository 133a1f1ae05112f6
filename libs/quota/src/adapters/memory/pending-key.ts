import BTree from 'sorted-btree';

const byNumber = (a: number, b: number): number => a - b;

/** The reservations of one key that are held: their sizes, and what was seen meanwhile. */
export class PendingKey {
  /** The size, while there is one: nearly always. */
  private only = 0;
  /** While there are several: size → how many reservations have it. */
  private sizes: BTree<number, number> | undefined;

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
    return this.sizes === undefined ? this.only : (this.sizes.maxKey() ?? 0);
  }

  /** The largest size once one reservation of `size` has left. */
  largestWithout(size: number): number {
    const { largest, sizes } = this;
    if (size < largest || (sizes?.get(size) ?? 0) > 1) return largest;
    return sizes?.nextLowerKey(largest) ?? 0;
  }

  add(size: number): void {
    this.count += 1;
    if (this.count === 1) {
      this.only = size;
      return;
    }
    this.sizes ??= new BTree([[this.only, 1]], byNumber);
    this.sizes.set(size, (this.sizes.get(size) ?? 0) + 1);
  }

  remove(size: number): void {
    this.count -= 1;
    if (this.sizes === undefined) {
      this.only = 0;
      return;
    }
    const count = this.sizes.get(size) ?? 0;
    if (count > 1) this.sizes.set(size, count - 1);
    else this.sizes.delete(size);
    if (this.count > 1) return;
    this.only = this.sizes.maxKey() ?? 0;
    this.sizes = undefined;
  }
}
