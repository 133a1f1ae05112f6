import { QuotaUnavailableError, type Reservation } from '@app/quota';
import { waitUntil } from '../../support';
import type { Lane } from './lane';

/** What an application does with one tenant, and what it knows of it. Every call to the library is timed. */
export class App {
  slowestMs = 0;
  /** Charged without a key, less what was given back. */
  unkeyedBytes = 0;
  /** Storage and account may have parted. */
  suspect = false;
  /** Commits without an answer, to be sent again until there is one. */
  readonly owed: (() => Promise<void>)[] = [];

  constructor(
    readonly lane: Lane,
    readonly tenant: string,
  ) {}

  /** What is really there. */
  async held(): Promise<number> {
    const { lane, tenant } = this;
    // Without a bank the values beside the ledger are what is stored.
    if (lane.bankUpkeep === null) return lane.valueBytes(tenant);
    return lane.storage.held(tenant) + this.unkeyedBytes;
  }

  async call<T>(work: () => Promise<T>): Promise<T> {
    const began = performance.now();
    try {
      return await work();
    } finally {
      this.slowestMs = Math.max(this.slowestMs, performance.now() - began);
    }
  }

  /** Null: refused. */
  async reserve(key: string | undefined, bytes: number, ttl?: number): Promise<Reservation | null> {
    const { tenant } = this;
    const write = {
      ...{ tenant, bytes },
      ...(key !== undefined && { key }),
      ...(ttl !== undefined && { ttlSeconds: ttl }),
    };
    const verdict = await this.call(() => this.lane.checker.reserve(write));
    return verdict.admitted ? verdict.reservation : null;
  }

  /** Whether so much could be had. */
  async ask(key: string, bytes: number): Promise<'admitted' | 'refused'> {
    const reservation = await this.reserve(key, bytes);
    await reservation?.release();
    return reservation === null ? 'refused' : 'admitted';
  }

  async put(key: string, bytes: number, ttl?: number): Promise<string> {
    const reservation = await this.reserve(key, bytes, ttl);
    return reservation === null ? 'refused' : this.store(reservation, bytes);
  }

  /** Tried, as by a client, until it gives something; for what comes before a fault. */
  async must<T>(work: () => Promise<T | null>, what: string): Promise<T> {
    let result: T | null = null;
    const made = async (): Promise<boolean> => (result = await work()) !== null;
    await waitUntil(made, { what: () => what });
    return result!;
  }

  async mustPut(key: string, bytes: number, ttl?: number): Promise<void> {
    const stored = async (): Promise<true | null> =>
      (await this.put(key, bytes, ttl)) === 'stored' ? true : null;
    await this.must(stored, `${key} to be stored`);
  }

  /** Stores and commits; what the account does not take is undone. */
  async store(reservation: Reservation, bytes: number): Promise<string> {
    const { storage, checker } = this.lane;
    const { key, ttlMs } = reservation;
    if (key === undefined) return this.charge(reservation, bytes);
    const version = storage.put(this.tenant, key, bytes, ttlMs);
    const outcome = await this.commitTwice(reservation, bytes, version);
    if (outcome === 'committed') return 'stored';
    const undone = storage.undo(this.tenant, key, version);
    try {
      if (outcome !== 'refused' || undone === null) this.suspect = true;
      if (undone !== null) await this.call(() => checker.remove(this.tenant, key, undone));
    } catch {
      this.suspect = true;
    }
    return outcome;
  }

  /** Nothing stored tells what a charge without a key came to, so its commit is sent until answered. */
  private async charge(reservation: Reservation, bytes: number): Promise<string> {
    const outcome = await this.commitTwice(reservation, bytes);
    if (outcome === 'committed') this.unkeyedBytes += bytes;
    if (outcome !== 'unavailable') return outcome === 'committed' ? 'stored' : outcome;
    this.owed.push(async () => {
      const reply = await reservation.commit(bytes);
      if (reply?.outcome === 'committed') this.unkeyedBytes += bytes;
    });
    return outcome;
  }

  private async commitTwice(
    reservation: Reservation,
    bytes: number,
    version?: number,
  ): Promise<'committed' | 'refused' | 'bounced' | 'unavailable'> {
    const details = version === undefined ? {} : { version };
    for (let round = 0; ; round += 1) {
      try {
        const reply = await this.call(() => reservation.commit(bytes, details));
        return reply?.outcome ?? 'committed';
      } catch (error) {
        if (!(error instanceof QuotaUnavailableError)) throw error;
        if (round === 1) return 'unavailable';
      }
    }
  }

  /** Never refused, so that also what got no answer in time comes about. */
  async remove(key: string): Promise<void> {
    const { storage, checker } = this.lane;
    const version = storage.delete(this.tenant, key);
    await this.call(() => checker.remove(this.tenant, key, version));
  }

  /** For what comes before a fault. */
  async mustRemove(key: string): Promise<void> {
    const { storage, checker } = this.lane;
    const version = storage.delete(this.tenant, key);
    const remove = (): Promise<unknown> => checker.remove(this.tenant, key, version);
    await this.must(remove, `${key} to be removed`);
  }
}
