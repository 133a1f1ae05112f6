import type { QuotaObserver } from './observer';
import {
  usedBytes,
  type EntryCorrection,
  type KeyView,
  type SourceEntry,
  type UsageSource,
  type UsageTracker,
} from './usage-tracker';

const PAGE = 500;

/** The storage's clock and the ledger's are not the same one; expiries this close, in ms, are equal. */
const SAME_EXPIRY_MS = 60_000;

export interface ReconcileReport {
  readonly tenant: string;
  /** Used before minus used after, signed: positive when the ledger had counted too much. */
  readonly driftBytes: number;
  /** Entries that were corrected against the storage. */
  readonly corrected: number;
  readonly usedBytes: number;
}

/**
 * Recomputes a tenant's usage from what is really there, page by page, under traffic. With a
 * {@link UsageSource} the ledger's entries are first brought in line with the storage; a key that a
 * write is on its way to, or that changed while it was looked at, is left to that write.
 */
export class Reconciler {
  constructor(
    private readonly tracker: UsageTracker,
    private readonly source: UsageSource | null,
    private readonly observer: QuotaObserver,
  ) {}

  async reconcile(tenant: string): Promise<ReconcileReport> {
    let corrected = 0;
    let delta = 0;
    if (this.source !== null) {
      const missing = await this.adoptMissing(this.source, tenant);
      const wrong = await this.mendKnown(this.source, tenant);
      corrected = missing.applied + wrong.applied;
      delta = missing.deltaBytes + wrong.deltaBytes;
    }
    const { driftBytes, usage } = await this.tracker.recount(tenant);
    const report = {
      tenant,
      driftBytes: driftBytes - delta,
      corrected,
      usedBytes: usedBytes(usage),
    };
    this.observer.emit('reconciled', report);
    return report;
  }

  /** Entries the storage has and the ledger doesn't. */
  private async adoptMissing(source: UsageSource, tenant: string): Promise<Applied> {
    const total = { applied: 0, deltaBytes: 0 };
    let cursor: string | null = null;
    do {
      const page = await source.page(tenant, cursor, PAGE);
      const keys = page.entries.map((entry) => entry.key);
      const views = await this.tracker.lookup(tenant, keys);
      add(
        total,
        await this.correct(
          source,
          tenant,
          views.filter((view) => view.entry === null),
        ),
      );
      cursor = page.next;
    } while (cursor !== null);
    return total;
  }

  /** Entries the ledger has, against what the storage says of them. */
  private async mendKnown(source: UsageSource, tenant: string): Promise<Applied> {
    const total = { applied: 0, deltaBytes: 0 };
    let cursor: string | null = null;
    do {
      const page: { entries: KeyView[]; next: string | null } = await this.tracker.entries(
        tenant,
        cursor,
        PAGE,
      );
      add(total, await this.correct(source, tenant, page.entries));
      cursor = page.next;
    } while (cursor !== null);
    return total;
  }

  /**
   * The storage is read after the ledger, and a correction applies only to the ledger's entry as it
   * was read: a write in between has either left its reservation open or changed the entry.
   */
  private async correct(
    source: UsageSource,
    tenant: string,
    views: readonly KeyView[],
  ): Promise<Applied> {
    const idle = views.filter((view) => !view.pending);
    if (idle.length === 0) return { applied: 0, deltaBytes: 0 };
    const stored = await source.lookup(
      tenant,
      idle.map((view) => view.key),
    );
    const byKey = new Map(stored.map((entry) => [entry.key, entry]));
    const corrections = idle.flatMap((view) => correctionFor(view, byKey.get(view.key)));
    if (corrections.length === 0) return { applied: 0, deltaBytes: 0 };
    return this.tracker.correct(tenant, corrections);
  }
}

interface Applied {
  applied: number;
  deltaBytes: number;
}

function add(total: Applied, more: Applied): void {
  total.applied += more.applied;
  total.deltaBytes += more.deltaBytes;
}

function correctionFor(view: KeyView, stored: SourceEntry | undefined): EntryCorrection[] {
  const { key, entry } = view;
  if (entry?.bytes === stored?.bytes && sameExpiry(entry?.expiresAt, stored?.expiresAt)) return [];
  return [
    {
      key,
      ...(stored !== undefined && { bytes: stored.bytes }),
      ...(stored?.expiresAt !== undefined && { expiresAt: stored.expiresAt }),
      ...(stored?.version !== undefined && { version: stored.version }),
      ...(entry !== null && { seen: { bytes: entry.bytes, version: entry.version } }),
    },
  ];
}

function sameExpiry(a: number | undefined, b: number | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Math.abs(a - b) <= SAME_EXPIRY_MS;
}
