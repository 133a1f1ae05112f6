import type { Budget } from './budget';
import { errorEvent } from './error-event';
import { QuotaUnavailableError } from './errors';
import type { Decided } from './judgement';
import type { QuotaObserver } from './observer';
import { limitsOf, type QuotaMode, type TenantQuota } from './quota';
import type { QuotaCacheService } from './quota-cache.service';
import { resolveMode, type Rollout } from './rollout';
import type { ReserveReply, UsageTracker } from './usage-tracker';
import type { QuotaWrite } from './write';

/** How often a decision is taken anew because the configuration changed meanwhile. */
const MAX_STALE_ROUNDS = 3;

/** What the ledger is asked about a write. */
export type LedgerWrite = Parameters<UsageTracker['check']>[0];
type StaleReply = Extract<ReserveReply, { outcome: 'stale' }>;

/** Finds the quota and the mode that hold for a write, and asks the ledger by them, until both agree. */
export class Decider {
  constructor(
    private readonly quotas: QuotaCacheService,
    private readonly tracker: UsageTracker,
    private readonly rollout: () => Rollout,
    private readonly maxWriteBytes: number,
    private readonly observer: QuotaObserver,
  ) {}

  /**
   * @param ask sends one question to the ledger; asked anew where the configuration has changed
   * @throws QuotaUnavailableError, UnknownTenantError
   */
  async decide(
    write: QuotaWrite,
    budget: Budget,
    ask: (request: LedgerWrite) => Promise<ReserveReply>,
  ): Promise<Decided> {
    let quota =
      this.quotas.freshQuota(write.tenant) ?? (await this.quotas.getQuota(write.tenant, budget));
    for (let round = 0; round < MAX_STALE_ROUNDS; round += 1) {
      const mode = resolveMode(this.rollout(), quota);
      const aboveMaximum = write.bytes > this.maxWriteBytes;
      if (mode === 'enforce' && aboveMaximum) return { quota, mode, reply: null, aboveMaximum };
      const request = ledgerWrite(write, quota, mode);
      const reply = mode === 'off' ? await this.confirmOff(request, budget) : await ask(request);
      if (reply?.outcome !== 'stale') return { quota, mode, reply, aboveMaximum };
      quota = await this.quotas.getQuotaSince(write.tenant, reply.stamp, budget);
    }
    throw new QuotaUnavailableError('config', { applied: 'no', contact: 'answered' });
  }

  /**
   * A tenant's own `off` may have been lifted on another instance; the ledger knows. One that
   * doesn't answer doesn't stand in the way of a tenant that is off.
   */
  private async confirmOff(request: LedgerWrite, budget: Budget): Promise<StaleReply | null> {
    try {
      return await this.staleness(request, budget);
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError)) throw error;
      this.observer.emit('error', errorEvent('check', error, request.tenant));
      return null;
    }
  }

  /** The tenant's quota, after asking the ledger whether it was changed on another instance. */
  async presentQuota(tenant: string, budget: Budget): Promise<TenantQuota> {
    const quota = await this.quotas.getQuota(tenant, budget);
    const stale = await this.staleness(ledgerWrite({ tenant, bytes: 0 }, quota, 'shadow'), budget);
    return stale === null ? quota : this.quotas.getQuotaSince(tenant, stale.stamp, budget);
  }

  /** Asks the ledger whether it knows of a newer configuration; null: it doesn't. Decides nothing. */
  private async staleness(request: LedgerWrite, budget: Budget): Promise<StaleReply | null> {
    const reply = await this.check(budget, { ...request, bytes: 0 });
    return reply.outcome === 'stale' ? reply : null;
  }

  /** Decides, and charges nothing. */
  check(budget: Budget, request: LedgerWrite): Promise<ReserveReply> {
    return budget.step('check', () => this.tracker.check(request), { applied: 'no' });
  }
}

function ledgerWrite(write: QuotaWrite, quota: TenantQuota, mode: QuotaMode): LedgerWrite {
  return {
    tenant: write.tenant,
    key: write.key,
    bytes: write.bytes,
    limits: limitsOf(quota),
    stamp: quota.stamp,
    enforce: mode === 'enforce',
  };
}
