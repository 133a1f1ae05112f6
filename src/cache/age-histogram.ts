/** Beyond so many, neighbours are put together. */
const MOST_BUCKETS = 4_096;

/** How many bytes were written when, as closely as a bounded number of buckets can tell. */
export class AgeHistogram {
  private width = 1;
  private bytesOf = new Map<number, number>();

  /** @param written see EvictableEntry */
  add(written: number, bytes: number): void {
    const bucket = Math.floor(written / this.width);
    this.bytesOf.set(bucket, (this.bytesOf.get(bucket) ?? 0) + bytes);
    while (this.bytesOf.size > MOST_BUCKETS) this.widen();
  }

  /** What was written no later than this has no more than these bytes together; 0: nobody can say. */
  writtenWithin(bytes: number): number {
    let [left, until] = [bytes, 0];
    for (const bucket of [...this.bytesOf.keys()].sort((one, other) => one - other)) {
      left -= this.bytesOf.get(bucket) ?? 0;
      if (left < 0) break;
      until = (bucket + 1) * this.width - 1;
    }
    return until;
  }

  private widen(): void {
    this.width *= 2;
    const narrow = this.bytesOf;
    this.bytesOf = new Map();
    for (const [bucket, bytes] of narrow) {
      const wide = Math.floor(bucket / 2);
      this.bytesOf.set(wide, (this.bytesOf.get(wide) ?? 0) + bytes);
    }
  }
}
