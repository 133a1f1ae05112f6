import type { EvictableEntry } from './cache-store';

/**
 * Of all the entries it is shown the few that were written longest ago, in that order; it holds no more
 * than twice as many at a time. Those whose storage has no word of when they were written come first,
 * what expires soonest before what expires later or never.
 */
export class OldestEntries {
  /** Whether some that it was shown are not among them. */
  left = false;
  private readonly kept = new Map<string, EvictableEntry>();
  /** Beyond this nothing is taken any more. */
  private last: EvictableEntry | null = null;

  constructor(private readonly most: number) {}

  /** The same key again takes the place of the one before. */
  add(entry: EvictableEntry): void {
    if (this.last !== null && byAge(entry, this.last) > 0) {
      this.left = true;
      return;
    }
    this.kept.set(entry.key, entry);
    if (this.kept.size >= 2 * this.most) this.trim();
  }

  /** At most as many as it was made for, the oldest first. */
  list(): EvictableEntry[] {
    this.trim();
    return [...this.kept.values()];
  }

  private trim(): void {
    const sorted = [...this.kept.values()].sort(byAge);
    const oldest = sorted.slice(0, this.most);
    if (oldest.length < sorted.length) {
      this.left = true;
      this.last = oldest.at(-1) ?? null;
    }
    this.kept.clear();
    for (const entry of oldest) this.kept.set(entry.key, entry);
  }
}

function byAge(one: EvictableEntry, other: EvictableEntry): number {
  const written = (one.written ?? 0) - (other.written ?? 0);
  if (written !== 0) return written;
  const [first, second] = [one.expiresAt ?? Infinity, other.expiresAt ?? Infinity];
  return first < second ? -1 : +(first > second);
}
