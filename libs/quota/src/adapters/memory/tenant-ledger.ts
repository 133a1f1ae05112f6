import BTree from 'sorted-btree';
import type { KeyView, LedgerEntry, StoredValue, Usage } from '../../core';
import { type Due, ExpiryIndex } from './expiry-index';
import { type Asked, Marks } from './marks';
import { PendingKey } from './pending-key';

export interface Entry extends Due {
  readonly key: string;
  readonly bytes: number;
  readonly version: number;
  /** The fold this entry waits for to be metered; see {@link TenantLedger.fold}. */
  readonly unmeteredIn?: number;
  readonly value?: StoredValue;
}

export interface Reservation extends Due, Asked {
  readonly id: string;
}

/** Everything but the order in which entries were made. */
export type NewEntry = Omit<Entry, 'seq' | 'unmeteredIn'> & { readonly unmetered?: boolean };

/** The last number given, of all tenants and lives, so that no two entries of a name share one. */
let seq = 0;

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * The state of one tenant. The sums follow from the entries and reservations: whoever changes a key
 * takes back what it contributed before, and adds what it contributes after, so they cannot part.
 */
export class TenantLedger {
  stamp = 0;
  /** Part of committed that has no key. */
  unkeyed = 0;
  /** Lives of the tenant that were ended, and what lapsed without a key, not looked after since. */
  unsettled = 0;
  lastUsed = 0;

  /** All that are held. */
  readonly open = new Map<string, Reservation>();
  /** Those of them that have lapsed, the first one first. */
  readonly lapsed = new Map<string, Reservation & { readonly key: string }>();
  lapsedBytes = 0;
  readonly marks = new Marks();

  private committed = 0;
  private reserved = 0;
  private unmetered = 0;
  /** Σ of what both an unmetered entry and the hold of its key stand for: what a fold frees of reserved. */
  private overlap = 0;
  /** How many folds there were. */
  private folds = 0;

  private readonly entries = new Map<string, Entry>();
  /** The same in the order of their keys, for walks that go on after a key. */
  private readonly inOrder = new BTree<string, Entry>(undefined, byText);
  private readonly expiring = new ExpiryIndex<Entry>();
  private readonly pending = new Map<string, PendingKey>();
  private readonly lapsing = new ExpiryIndex<Reservation>();

  constructor(readonly generation: string) {}

  get isEmpty(): boolean {
    return (
      this.entries.size === 0 && this.open.size === 0 && this.unkeyed === 0 && this.marks.isEmpty
    );
  }

  get usage(): Usage {
    return {
      committedBytes: this.committed,
      reservedBytes: this.reserved,
      unmeteredBytes: this.unmetered,
    };
  }

  get used(): number {
    return this.committed + this.reserved;
  }

  /** {@link used} once everything unmetered is metered. */
  get usedWhenFolded(): number {
    return this.used + this.unmetered - this.overlap;
  }

  /** What usage will be once everything unmetered is metered. */
  get usageWhenFolded(): Usage {
    return {
      committedBytes: this.committed + this.unmetered,
      reservedBytes: this.reserved - this.overlap,
      unmeteredBytes: 0,
    };
  }

  // Entries

  entry(key: string): Entry | undefined {
    return this.entries.get(key);
  }

  isMetered(entry: Entry): boolean {
    return entry.unmeteredIn !== this.folds;
  }

  put(entry: NewEntry): void {
    const { key, bytes, dueAt, version, value, unmetered = false } = entry;
    const unmeteredIn = unmetered ? this.folds : undefined;
    this.replace(key, { key, bytes, dueAt, version, value, seq: ++seq, unmeteredIn });
  }

  delete(key: string): void {
    this.replace(key, undefined);
  }

  /** An entry at or past its expiry is gone, whatever the index has reaped so far. */
  settle(key: string | undefined, now: number): void {
    const entry = key === undefined ? undefined : this.entries.get(key);
    if (entry && entry.dueAt <= now) this.delete(entry.key);
  }

  view(key: string, now: number): KeyView {
    const entry = this.entries.get(key);
    const live = entry && entry.dueAt > now ? viewOf(entry) : null;
    return { key, entry: live, pending: this.pending.get(key)?.isOpen ?? false };
  }

  /** At most `max` entries after a key, in the order of their keys. */
  *after(key: string | undefined, max: number): Iterable<Entry> {
    let pair = this.inOrder.nextHigherPair(key);
    for (let left = max; pair && left > 0; left--) {
      yield pair[1];
      pair = this.inOrder.nextHigherPair(pair[0]);
    }
  }

  /** Entries that will expire, the next one first. */
  expiringNext(): Iterable<Entry> {
    return this.expiring.inOrder();
  }

  // Reservations

  pendingOf(key: string): PendingKey | undefined {
    return this.pending.get(key);
  }

  hold(asked: Asked, id: string, dueAt: number): void {
    const { key, bytes, decision, keep } = asked;
    const reservation = { key, bytes, decision, keep, id, dueAt, seq: ++seq };
    this.open.set(id, reservation);
    this.lapsing.add(reservation);
    if (key === undefined) {
      this.reserved += bytes;
      return;
    }
    this.tally(key, -1);
    const pending = this.pending.get(key) ?? new PendingKey();
    this.pending.set(key, pending);
    pending.add(bytes);
    this.tally(key, 1);
  }

  /** Takes a reservation out and frees its hold. */
  close(reservation: Reservation): void {
    this.open.delete(reservation.id);
    const { key, bytes } = reservation;
    const lapsed = this.lapsed.delete(reservation.id);
    // Sizes of one key need not fit a limit together; beyond 2^53 their sum is not exact.
    if (lapsed) this.lapsedBytes = this.lapsed.size === 0 ? 0 : this.lapsedBytes - bytes;
    else this.lapsing.delete(reservation);
    if (key === undefined) {
      this.reserved -= bytes;
      return;
    }
    this.tally(key, -1);
    const pending = this.pending.get(key);
    pending?.remove(bytes);
    if (lapsed && pending) pending.lapsed -= 1;
    if (pending?.isEmpty) this.pending.delete(key);
    this.tally(key, 1);
  }

  /** Its deadline has passed: it goes, or where it is kept waits for somebody to look into it. */
  private lapse(reservation: Reservation): void {
    const { key, bytes, keep = false } = reservation;
    if (!keep || key === undefined) {
      if (keep) this.unsettled++;
      this.close(reservation);
      return;
    }
    this.lapsing.delete(reservation);
    this.lapsed.set(reservation.id, { ...reservation, key });
    this.lapsedBytes += bytes;
    const pending = this.pending.get(key);
    if (pending) pending.lapsed += 1;
  }

  /** Remembers a version with the open reservations of the key, if there are any. */
  noteVersion(key: string, version: number): void {
    const pending = this.pending.get(key);
    if (pending) pending.highestVersion = Math.max(pending.highestVersion, version);
  }

  // Time

  hasDue(now: number): boolean {
    return this.expiring.due(now) !== undefined || this.lapsing.due(now) !== undefined;
  }

  /** Reaps at most `max` expired entries and as many lapsed reservations. */
  reap(now: number, max: number): { entries: number; reservations: number } {
    const done = { entries: 0, reservations: 0 };
    for (let entry; done.entries < max && (entry = this.expiring.due(now)); done.entries++) {
      this.delete(entry.key);
    }
    for (let held; done.reservations < max && (held = this.lapsing.due(now)); done.reservations++) {
      this.lapse(held);
    }
    return done;
  }

  // Sums

  charge(bytes: number): void {
    this.committed += bytes;
    this.unkeyed += bytes;
  }

  /**
   * Makes all unmetered entries metered at once, without walking them. Where a write of such a key
   * is on its way, the hold gives up what the entry now stands for, so that reserved stays Σ hold.
   */
  fold(): void {
    if (this.unmetered === 0) return;
    this.committed += this.unmetered;
    this.reserved -= this.overlap;
    this.unmetered = 0;
    this.overlap = 0;
    this.folds++;
  }

  /** Counts everything anew, all entries metered; returns what committed was too high by. */
  recount(): number {
    let metered = 0;
    let unmetered = 0;
    for (const entry of this.entries.values()) {
      if (this.isMetered(entry)) metered += entry.bytes;
      else unmetered += entry.bytes;
    }
    const drift = this.committed - (metered + this.unkeyed);
    this.folds++;
    this.committed = metered + unmetered + this.unkeyed;
    this.unmetered = 0;
    this.overlap = 0;
    this.reserved = this.countHolds();
    return drift;
  }

  private countHolds(): number {
    let sum = 0;
    for (const [key, { largest }] of this.pending) {
      sum += Math.max(0, largest - (this.entries.get(key)?.bytes ?? 0));
    }
    for (const { key, bytes } of this.open.values()) if (key === undefined) sum += bytes;
    return sum;
  }

  private replace(key: string, next: Entry | undefined): void {
    this.tally(key, -1);
    const old = this.entries.get(key);
    if (old) this.expiring.delete(old);
    if (next) {
      this.entries.set(key, next);
      this.inOrder.set(key, next);
      this.expiring.add(next);
    } else if (old) {
      this.entries.delete(key);
      this.inOrder.delete(key);
    }
    this.tally(key, 1);
  }

  /** Adds (1) or takes back (−1) what a key contributes to the sums. */
  private tally(key: string, sign: 1 | -1): void {
    const entry = this.entries.get(key);
    const live = entry?.bytes ?? 0;
    const largest = this.pending.get(key)?.largest ?? 0;
    if (!entry || this.isMetered(entry)) {
      this.committed += sign * live;
      this.reserved += sign * Math.max(0, largest - live);
    } else {
      this.unmetered += sign * live;
      this.reserved += sign * largest;
      this.overlap += sign * Math.min(live, largest);
    }
  }
}

export function viewOf(entry: Entry): LedgerEntry {
  const { bytes, version, dueAt } = entry;
  const written = writtenOf(entry);
  return {
    ...{ bytes, version },
    ...(Number.isFinite(dueAt) && { expiresAt: dueAt }),
    ...(written !== undefined && { written }),
  };
}

/** See {@link LedgerEntry.written}. */
export function writtenOf({ seq, value }: Entry): number | undefined {
  return value && seq;
}
