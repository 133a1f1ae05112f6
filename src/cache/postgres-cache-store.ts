import {
  lateRefusal,
  QuotaError,
  QuotaUnavailableError,
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
import type { PostgresEntryRepository, PurgedRow, PutResult } from './postgres-entry-repository';
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
    const [value, usage] = await Promise.all([this.entries.get(tenant, key), this.usageOf(tenant)]);
    return { value, usage };
  }

  async remove(tenant: string, key: string): Promise<CacheRemoval> {
    // Nothing there leaves no trace in the ledger, which may not even know the tenant.
    const [present] = await this.entries.lookup(tenant, [key]);
    if (present === undefined) return { removed: false, usage: await this.usageOf(tenant) };
    let removed: boolean | undefined;
    try {
      const reply = await this.checker.runRemoval(tenant, key, async () => {
        const deleted = await this.entries.delete(tenant, key);
        ({ removed } = deleted);
        return deleted.version === 0 ? null : { version: deleted.version };
      });
      return { removed: removed === true, usage: reply?.usage ?? (await this.usageOf(tenant)) };
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      if (removed === undefined) {
        if (error.applied === 'unknown') this.suspects.add(tenant);
        throw error;
      }
      // The value is gone; its bytes follow.
      this.suspects.add(tenant);
      return { removed, usage: null };
    }
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
    try {
      const ttlMs = ttlSeconds === undefined ? undefined : ttlSeconds * 1_000;
      return await this.entries.put(tenant, key, body, contentType, ttlMs);
    } catch (error) {
      // It may be there although we were not told.
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
    await this.undo(write, stored);
    throw lateRefusal(reservation, reply);
  }

  private async commit(
    write: CacheWrite,
    reservation: Reservation,
    { version }: PutResult,
  ): Promise<CommitReply | null> {
    const details = { version };
    try {
      return await reservation.commit(write.body.length, details);
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
    }
    try {
      // The same id again: what was applied unseen is not applied twice.
      return await reservation.commit(write.body.length, details);
    } catch (error) {
      // Stored it is, and to undo it would destroy what it replaced as well. Whether it is counted will
      // be found out.
      reservation.abandon();
      this.suspects.add(write.tenant);
      throw error;
    }
  }

  /**
   * Takes the write back from the storage, after a hold that lapsed and does not fit any more, or a
   * tenant that was deleted. What it had replaced is lost there, so from the ledger as well.
   */
  private async undo({ tenant, key }: CacheWrite, { version }: PutResult): Promise<void> {
    try {
      const undone = await this.entries.undo(tenant, key, version);
      if (undone.removed) await this.checker.remove(tenant, key, undone.version);
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      this.suspects.add(tenant);
    }
  }

  private async usageOf(tenant: string): Promise<Usage | null> {
    try {
      return await this.tracker.read(tenant);
    } catch {
      return null;
    }
  }
}
