import {
  Budget,
  lateRefusal,
  QuotaUnavailableError,
  type CommitDetails,
  type CommitReply,
  type QuotaChecker,
  type QuotaContext,
  type Reconciler,
  type Reservation,
  type Usage,
  type UsageTracker,
} from '@app/quota';
import {
  CacheStore,
  type CacheReading,
  type CacheRemoval,
  type CacheWrite,
  type StoredEntry,
} from './cache-store';
import type { PostgresEntryRepository, PutResult } from './postgres-entry-repository';
import type { SuspectTenants } from './suspect-tenants';

/**
 * Keeps values in PostgreSQL, apart from the ledger: reserve, store, commit. The storage's version
 * of each write goes with its commit, so that the ledger ends as the storage did. Where the two may
 * have parted, because one of them did not answer, the tenant is reconciled soon.
 */
export class PostgresCacheStore extends CacheStore {
  constructor(
    private readonly entries: PostgresEntryRepository,
    private readonly tracker: UsageTracker,
    private readonly checker: QuotaChecker,
    private readonly reconciler: Reconciler,
    private readonly suspects: SuspectTenants,
  ) {
    super();
  }

  async put(write: CacheWrite, quota: QuotaContext | undefined): Promise<StoredEntry> {
    const stored = await this.store(write, quota?.reservation.budget ?? new Budget());
    if (quota !== undefined) await this.settle(write, quota.reservation, stored);
    return {
      bytes: write.body.length,
      replaced: stored.replaced,
      expiresAt: stored.expiresAt === undefined ? null : new Date(stored.expiresAt),
    };
  }

  async get(tenant: string, key: string): Promise<CacheReading> {
    const budget = new Budget();
    const [value, usage] = await Promise.all([
      this.entries.get(tenant, key, budget),
      this.usageOf(tenant, new Budget()),
    ]);
    return { value, usage };
  }

  async remove(tenant: string, key: string): Promise<CacheRemoval> {
    const budget = new Budget();
    const { removed, version } = await this.delete(tenant, key, budget);
    if (version === 0) return { removed, usage: await this.usageOf(tenant, budget) };
    try {
      const { usage } = await this.checker.remove(tenant, key, version, budget);
      return { removed, usage };
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      // The value is gone; its bytes follow.
      this.suspects.add(tenant);
      return { removed, usage: null };
    }
  }

  /** A write of the tenant's next life may have been stored already and go with the rest; its charge, too. */
  async purge(tenant: string): Promise<void> {
    await this.entries.purge(tenant);
    await this.reconciler.reconcile(tenant);
  }

  private store(write: CacheWrite, budget: Budget): Promise<PutResult> {
    const { tenant, key, body, contentType, ttlSeconds } = write;
    const ttlMs = ttlSeconds === undefined ? undefined : ttlSeconds * 1_000;
    return this.told(tenant, this.entries.put(tenant, key, body, contentType, ttlMs, budget));
  }

  private delete(
    tenant: string,
    key: string,
    budget: Budget,
  ): ReturnType<PostgresEntryRepository['delete']> {
    return this.told(tenant, this.entries.delete(tenant, key, budget));
  }

  /** It may be done although we were not told. */
  private async told<T>(tenant: string, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (error instanceof QuotaUnavailableError && error.applied === 'unknown') {
        this.suspects.add(tenant);
      }
      throw error;
    }
  }

  private async settle(
    write: CacheWrite,
    reservation: Reservation,
    stored: PutResult,
  ): Promise<void> {
    const reply = await this.commit(write, reservation, stored);
    if (reply?.outcome !== 'refused' && reply?.outcome !== 'bounced') return;
    await this.undo(write, stored, reservation.budget);
    throw lateRefusal(reservation, reply);
  }

  private async commit(
    write: CacheWrite,
    reservation: Reservation,
    { version }: PutResult,
  ): Promise<CommitReply | null> {
    const { budget } = reservation;
    try {
      return await this.commitTwice(write, reservation, { version });
    } catch (error) {
      const { tenant, key } = write;
      this.suspects.add(tenant);
      const undone = this.entries.undo(tenant, key, version, budget).catch(() => undefined);
      // Sent in any case; whoever has waited long enough is not kept for it.
      if (!budget.isOver) await undone;
      throw error;
    }
  }

  /** The same id again: what was applied unseen is not applied twice. */
  private async commitTwice(
    write: CacheWrite,
    reservation: Reservation,
    details: CommitDetails,
  ): Promise<CommitReply | null> {
    const bytes = write.body.length;
    try {
      return await reservation.commit(bytes, details);
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError) || reservation.budget.isOver) throw error;
      return reservation.commit(bytes, details);
    }
  }

  /** Takes the write back from the storage; what it had replaced is lost there, so from the ledger as well. */
  private async undo(
    { tenant, key }: CacheWrite,
    { version }: PutResult,
    budget: Budget,
  ): Promise<void> {
    try {
      const undone = await this.entries.undo(tenant, key, version, budget);
      if (undone.removed) await this.checker.remove(tenant, key, undone.version, budget);
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      this.suspects.add(tenant);
    }
  }

  /** For the headers only. */
  private async usageOf(tenant: string, budget: Budget): Promise<Usage | null> {
    try {
      return await budget.step('read', () => this.tracker.read(tenant), { applied: 'no' });
    } catch {
      return null;
    }
  }
}
