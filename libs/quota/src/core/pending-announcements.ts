import { QuotaUnavailableError } from './errors';
import type { TenantQuota } from './quota';

/** Beyond this the oldest goes: instances that hold a copy of it keep that until its time is over. */
const MOST_TENANTS = 10_000;

/** Ms until the next attempt; half is chance, so that instances do not come in one moment. */
const AGAIN_MS = 500;

/**
 * Changes of quotas that could not be told of yet, the newest of each tenant. They are sent again
 * until that succeeds; while a breaker is open, an attempt costs nothing. Sending one twice does no
 * harm, nor does one that is overtaken: copies and stamps only go forward.
 */
export class PendingAnnouncements {
  private readonly quotas = new Map<string, TenantQuota>();
  private timer: NodeJS.Timeout | undefined;
  private sending = false;
  private stopped = false;

  constructor(
    private readonly send: (quota: TenantQuota) => Promise<void>,
    private readonly mostTenants: number = MOST_TENANTS,
  ) {}

  get size(): number {
    return this.quotas.size;
  }

  keep(quota: TenantQuota): void {
    const { tenant, stamp } = quota;
    const kept = this.quotas.get(tenant);
    if (kept !== undefined && kept.stamp > stamp) return;
    this.quotas.delete(tenant);
    this.quotas.set(tenant, quota);
    const [oldest] = this.quotas.keys();
    if (this.quotas.size > this.mostTenants && oldest !== undefined) this.quotas.delete(oldest);
    this.schedule();
  }

  /** What was told of meanwhile, and whatever is older, need not be sent any more. */
  settle({ tenant, stamp }: TenantQuota): void {
    const kept = this.quotas.get(tenant);
    if (kept !== undefined && kept.stamp <= stamp) this.quotas.delete(tenant);
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  private schedule(): void {
    if (this.stopped || this.sending || this.quotas.size === 0) return;
    clearTimeout(this.timer);
    const ms = AGAIN_MS * (0.5 + Math.random() / 2);
    this.timer = setTimeout(() => void this.sendAll(), ms).unref();
  }

  /** Never rejects. One after the other: there is no hurry, and requests come first. */
  private async sendAll(): Promise<void> {
    this.sending = true;
    for (const quota of [...this.quotas.values()]) {
      if (this.stopped || !(await this.sendOne(quota))) break;
    }
    this.sending = false;
    this.schedule();
  }

  /** False: the store is still away, and the others need not be tried. */
  private async sendOne(quota: TenantQuota): Promise<boolean> {
    try {
      await this.send(quota);
      this.settle(quota);
      return true;
    } catch (error) {
      if (error instanceof QuotaUnavailableError) return error.contact === 'answered';
      // It is refused for what it is; another attempt would not help.
      this.settle(quota);
      return true;
    }
  }
}
