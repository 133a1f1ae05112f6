import {
  Budget,
  lateRefusal,
  QuotaError,
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
import { invalidInput } from '../http/problem';
import {
  CacheStore,
  type CacheReading,
  type CacheRemoval,
  type CacheWrite,
  type EvictableEntry,
  type EvictablePage,
  type StoredEntry,
} from './cache-store';
import type {
  DeleteResult,
  PostgresEntryRepository,
  PurgedRow,
  PutResult,
} from './postgres-entry-repository';
import type { SuspectTenants } from './suspect-tenants';

/**
 * Keeps values in PostgreSQL, apart from the ledger: reserve, store, commit. The storage's version
 * of each write goes with its commit, so that the ledger ends as the storage did. Where the two may
 * have parted, because one of them did not answer, the tenant is reconciled soon: by this process,
 * and, since the reservation is left to lapse, by any other if this one dies.
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
    const stored = await this.store(write, quota?.reservation);
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
    return this.removeBy(tenant, key, budget, () => this.entries.delete(tenant, key, budget));
  }

  /** Those that were written first go first; `at` is the version that all of them are below. */
  async evictable(
    tenant: string,
    { at, limit }: { at: string; limit: number },
  ): Promise<EvictablePage> {
    if (!/^\d{0,15}$/.test(at)) throw invalidInput('resume', 'what the call before has answered');
    const before = at === '' ? await this.entries.drawVersion() : Number(at);
    const found = await this.entries.oldest(tenant, limit, before);
    const entries = found.map(({ version = 0, ...entry }) => ({ ...entry, version }));
    const here = String(before);
    return { entries, here, next: entries.length < limit ? null : here };
  }

  async evict(tenant: string, { key, version }: EvictableEntry): Promise<CacheRemoval> {
    const budget = new Budget();
    const undo = (): Promise<DeleteResult> => this.entries.undo(tenant, key, version, budget);
    return this.removeBy(tenant, key, budget, undo);
  }

  /** A write of the tenant's next life may have been stored already and go with the rest; its charge, too. */
  async purge(tenant: string): Promise<void> {
    for await (const rows of this.entries.purge(tenant)) {
      try {
        await this.tellPurged(tenant, rows);
      } catch (error) {
        if (!(error instanceof QuotaUnavailableError)) throw error;
        this.suspects.add(tenant);
      }
    }
    await this.watch(tenant);
    await this.reconciler.reconcile(tenant);
  }

  private async removeBy(
    tenant: string,
    key: string,
    budget: Budget,
    deletion: () => Promise<DeleteResult>,
  ): Promise<CacheRemoval> {
    // Nothing there leaves no trace in the ledger, which may not even know the tenant.
    const [present] = await this.entries.lookup(tenant, [key], budget);
    if (present === undefined) {
      return { removed: false, freedBytes: 0, usage: await this.usageOf(tenant, budget) };
    }
    let removed: boolean | undefined;
    const remove = async (): Promise<{ version: number } | null> => {
      const deleted = await this.told(tenant, deletion());
      ({ removed } = deleted);
      return deleted.version === 0 ? null : { version: deleted.version };
    };
    try {
      const reply = await this.checker.runRemoval(tenant, key, remove, budget);
      const usage = reply?.usage ?? (await this.usageOf(tenant, budget));
      return { removed: removed === true, freedBytes: reply?.freedBytes ?? 0, usage };
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError) || removed === undefined) throw error;
      // The value is gone; its bytes follow.
      this.suspects.add(tenant);
      return { removed, freedBytes: 0, usage: null };
    }
  }

  /**
   * A write of the life that has ended may be stored only now, by a process that dies before its commit
   * bounces. Its own reservation is gone; this one lapses no earlier, and has the tenant reconciled.
   */
  private async watch(tenant: string): Promise<void> {
    try {
      const verdict = await this.checker.reserve({ tenant, bytes: 0 });
      if (verdict.admitted) verdict.reservation.abandon();
    } catch (error) {
      if (!(error instanceof QuotaError)) throw error;
      this.suspects.add(tenant);
    }
  }

  /**
   * Of these the ledger's new life knows the few that were stored in it: counted already, or with the
   * reservation open, which keeps the removal's version for their commit.
   */
  private async tellPurged(tenant: string, rows: readonly PurgedRow[]): Promise<void> {
    const views = await this.tracker.lookup(
      tenant,
      rows.map(({ key }) => key),
    );
    for (const [i, { key, version }] of rows.entries()) {
      const view = views[i];
      if (view?.pending || view?.entry) await this.checker.remove(tenant, key, version);
    }
  }

  private async store(
    { tenant, key, body, contentType, ttlSeconds }: CacheWrite,
    reservation: Reservation | undefined,
  ): Promise<PutResult> {
    const ttlMs = ttlSeconds === undefined ? undefined : ttlSeconds * 1_000;
    const budget = reservation?.budget ?? new Budget();
    const put = this.entries.put(tenant, key, body, contentType, ttlMs, budget);
    return this.told(tenant, put, reservation);
  }

  /** It may be done although we were not told. */
  private async told<T>(tenant: string, work: Promise<T>, reservation?: Reservation): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (error instanceof QuotaUnavailableError && error.applied === 'unknown') {
        reservation?.abandon();
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
    try {
      return await this.commitTwice(write, reservation, { version });
    } catch (error) {
      // Stored it is, and to undo it would destroy what it replaced as well. Whether it is counted will
      // be found out.
      reservation.abandon();
      this.suspects.add(write.tenant);
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

  /**
   * Takes the write back from the storage, after a hold that lapsed and does not fit any more, or a
   * tenant that was deleted. What it had replaced is lost there, so from the ledger as well.
   */
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
