import {
  lateRefusal,
  QuotaExceededError,
  QuotaUnavailableError,
  resolveMode,
  type QuotaCacheService,
  type QuotaChecker,
  type QuotaContext,
  type QuotaRollout,
  type Reservation,
  type ValueTracker,
} from '@app/quota';
import { randomUUID } from 'node:crypto';
import {
  CacheStore,
  type CacheReading,
  type CacheRemoval,
  type CacheWrite,
  type EvictableEntry,
  type EvictablePage,
  type EvictionSearch,
  type StoredEntry,
} from './cache-store';
import { LedgerEvictables } from './ledger-evictables';

/** How often a write is taken anew because the tenant's quota changed meanwhile. */
const MAX_ROUNDS = 3;

/** Keeps values beside the ledger: stored and charged in one atomic step, so that no crash parts the two. */
export class LedgerCacheStore extends CacheStore {
  private readonly evictables: LedgerEvictables;

  constructor(
    private readonly tracker: ValueTracker,
    private readonly checker: QuotaChecker,
    private readonly quotas: QuotaCacheService,
    private readonly rollout: QuotaRollout,
  ) {
    super();
    this.evictables = new LedgerEvictables(tracker);
  }

  async put(write: CacheWrite, quota: QuotaContext | undefined): Promise<StoredEntry> {
    return quota === undefined || quota.mode === 'off'
      ? this.putUnmetered(write, quota)
      : this.commit(write, quota.reservation);
  }

  async get(tenant: string, key: string): Promise<CacheReading> {
    const { value, usage } = await this.tracker.getValue(tenant, key);
    return { value: value && { body: value.body, contentType: value.meta }, usage };
  }

  async remove(tenant: string, key: string): Promise<CacheRemoval> {
    return this.checker.remove(tenant, key);
  }

  evictable(tenant: string, search: EvictionSearch): Promise<EvictablePage> {
    return this.evictables.page(tenant, search);
  }

  /** The ledger compares in the step that removes. */
  async evict(tenant: string, listed: EvictableEntry): Promise<CacheRemoval> {
    const { key, bytes, version, written = 0 } = listed;
    const seen = { bytes, version, written };
    const { applied, deltaBytes } = await this.tracker.correct(tenant, [{ key, seen }]);
    const usage = await this.tracker.read(tenant);
    return { removed: applied > 0, freedBytes: 0 - deltaBytes, usage };
  }

  async purge(): Promise<void> {
    // The ledger's values went with the tenant's usage.
  }

  private async commit(write: CacheWrite, reservation: Reservation): Promise<StoredEntry> {
    const value = { body: write.body, meta: write.contentType };
    const reply = await reservation.commit(write.body.length, { value });
    if (reply === null) throw new Error('A reservation in force was settled as one that is off.');
    if (reply.outcome !== 'committed') throw lateRefusal(reservation, reply);
    return stored(write, reply.replaced, reply.expiresAt);
  }

  private async putUnmetered(
    write: CacheWrite,
    quota: QuotaContext | undefined,
  ): Promise<StoredEntry> {
    let stamp = 0;
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      // Off for everyone, or for this path, needs no tenant's quota and works without the database.
      if (quota !== undefined && !this.checker.isOff()) {
        const current = await (round === 0
          ? this.quotas.getQuota(write.tenant)
          : this.quotas.getQuotaSince(write.tenant, stamp));
        if (resolveMode(this.rollout.current, current) !== 'off') return this.putMetered(write);
        stamp = current.stamp;
      }
      const { tenant, key, body, ttlSeconds } = write;
      const reply = await this.tracker.putUnmetered({
        tenant,
        id: randomUUID(),
        key,
        value: { body, meta: write.contentType },
        ...(ttlSeconds !== undefined && { ttlMs: ttlSeconds * 1_000 }),
        stamp,
      });
      if (reply.outcome === 'stored') return stored(write, reply.replaced, reply.expiresAt);
      stamp = reply.stamp;
    }
    throw new QuotaUnavailableError('config', { applied: 'no' });
  }

  /** The tenant's quota was turned on after this write had been let through as off. */
  private async putMetered(write: CacheWrite): Promise<StoredEntry> {
    const { tenant, key, body, ttlSeconds } = write;
    const verdict = await this.checker.reserve({
      tenant,
      key,
      bytes: body.length,
      ...(ttlSeconds !== undefined && { ttlSeconds }),
    });
    if (!verdict.admitted) throw new QuotaExceededError(verdict);
    if (verdict.mode === 'off') throw new QuotaUnavailableError('config', { applied: 'no' });
    return this.commit(write, verdict.reservation);
  }
}

function stored(write: CacheWrite, replaced: boolean, expiresAt: number | undefined): StoredEntry {
  return {
    bytes: write.body.length,
    replaced,
    expiresAt: expiresAt === undefined ? null : new Date(expiresAt),
  };
}
