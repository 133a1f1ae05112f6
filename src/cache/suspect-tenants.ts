import type { Reconciler } from '@app/quota';

const RETRY_MS = 5_000;
/** Beyond this an operator has to reconcile; the stores have been away for longer than a hiccup. */
const MOST = 10_000;

/** Tenants whose storage and ledger may have parted, reconciled one by one until it works. */
export class SuspectTenants {
  private readonly tenants = new Set<string>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly reconciler: Reconciler,
    private readonly retryMs = RETRY_MS,
  ) {}

  add(tenant: string): void {
    if (this.tenants.size < MOST) this.tenants.add(tenant);
    this.plan();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.tenants.clear();
  }

  private plan(): void {
    this.timer ??= setTimeout(() => void this.work(), this.retryMs).unref();
  }

  private async work(): Promise<void> {
    for (const tenant of [...this.tenants]) {
      try {
        await this.reconciler.reconcile(tenant);
        this.tenants.delete(tenant);
      } catch {
        // The stores are still away, and all the others would meet the same.
        break;
      }
    }
    this.timer = undefined;
    if (this.tenants.size > 0) this.plan();
  }
}
