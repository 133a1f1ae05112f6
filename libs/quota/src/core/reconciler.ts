import { setTimeout as pause } from 'node:timers/promises';
import { mbToBytes } from './bytes';
import { correctionsFor, growthAndShrink, type Applied, type Finding } from './correction';
import { QuotaUnavailableError } from './errors';
import { LocalLease, type HeldLease, type UpkeepLease } from './lease';
import type { DriftCauses, QuotaObserver } from './observer';
import { TimedSource } from './timed-source';
import { usedBytes, type KeyView, type UsageSource, type UsageTracker } from './usage-tracker';

const PAGE = 500;

/** Kept from page to page; no page takes so long. */
const LEASE_MS = 10_000;
const LEASE_POLL_MS = 50;

/** A drop of no more than this, or than half of what was counted, is taken for what it is. */
const PLAUSIBLE_DROP_BYTES = mbToBytes(10);

/** A key that changes between two looks is being written, and left to that write. */
const MOST_LOOKS = 3;

/** A few keys at once need none: a correction applies only where the ledger is as it was seen. */
const NO_LEASE: HeldLease = { keep: async () => true, release: async () => undefined };

/** Between the two readings of a storage that seems to have lost more than that. */
const SECOND_READING_MS = 1_000;

export interface ReconcileReport {
  readonly tenant: string;
  /** Used before minus used after, signed: positive when the ledger had counted too much. */
  readonly driftBytes: number;
  /** What the drift is made of. */
  readonly causes: DriftCauses;
  /** Entries that were corrected against the storage. */
  readonly corrected: number;
  readonly usedBytes: number;
}

export interface ReconcilerOptions {
  /** See {@link UpkeepLease}; unless set, one within this process. */
  readonly lease?: UpkeepLease;
  /** Ms before the second reading of an implausible drop; 1,000 unless set. */
  readonly secondReadingMs?: number;
}

/** One tenant under way. */
interface Job {
  readonly source: UsageSource;
  readonly tenant: string;
  readonly held: HeldLease;
  readonly applied: Applied;
  /** Keys that a write is on its way to, which are then looked at as well; null: those are left alone. */
  readonly busy: Set<string> | null;
}

interface WorkOptions {
  readonly routine?: boolean;
  readonly busy?: Set<string> | null;
}

/**
 * Recomputes a tenant's usage from what is really there, page by page, under traffic. With a
 * {@link UsageSource} the ledger's entries are first brought in line with the storage; a key that a
 * write is on its way to, or that changed while it was looked at, is left to that write.
 *
 * Where entries would be lost or shrink by more than half of what was counted and more than 10 MB,
 * the storage is read a second time first: it may have been the reading that was wrong.
 */
export class Reconciler {
  private readonly lease: UpkeepLease;
  private readonly source: UsageSource | null;

  constructor(
    private readonly tracker: UsageTracker,
    source: UsageSource | null,
    private readonly observer: QuotaObserver,
    private readonly options: ReconcilerOptions = {},
  ) {
    this.source = source && new TimedSource(source);
    this.lease = options.lease ?? new LocalLease();
  }

  /** There is a storage to compare with; otherwise only the ledger itself is counted anew. */
  get hasStorage(): boolean {
    return this.source !== null;
  }

  /**
   * Waits its turn when the tenant is being reconciled elsewhere.
   *
   * @throws QuotaUnavailableError when that, or the stores, take too long.
   */
  reconcile(tenant: string): Promise<ReconcileReport> {
    return this.inTurn(tenant, {});
  }

  /**
   * As {@link reconcile}, for a ledger that is being rebuilt: what was stored under a key before a write
   * that is on its way to it is nowhere else to be found. Returns such keys: what was found of them may
   * be what that write has stored, and takes back without a word to the ledger.
   */
  async rebuild(tenant: string): Promise<string[]> {
    const busy = new Set<string>();
    await this.inTurn(tenant, { busy });
    return [...busy];
  }

  private async inTurn(tenant: string, options: WorkOptions): Promise<ReconcileReport> {
    const deadline = performance.now() + LEASE_MS + LEASE_POLL_MS;
    for (;;) {
      const report = await this.reconcileIfFree(tenant, options);
      if (report !== null) return report;
      if (performance.now() > deadline) throw busy();
      await pause(LEASE_POLL_MS);
    }
  }

  /**
   * As {@link reconcile}; null when somebody is at this tenant already.
   *
   * @param options `routine`: nobody asked; said in the event. `busy`: see {@link rebuild}
   */
  async reconcileIfFree(
    tenant: string,
    options: WorkOptions = {},
  ): Promise<ReconcileReport | null> {
    const held = await this.lease.take(`reconcile:${tenant}`, LEASE_MS);
    if (held === null) return null;
    try {
      return await this.work(tenant, held, options);
    } finally {
      // One that cannot be given up now lapses.
      await held.release().catch(() => undefined);
    }
  }

  /**
   * Brings the ledger's view of a few keys in line with the storage; nothing is counted anew. Returns
   * those of which it was seen to be so: not the ones that a write is on its way to. Without a storage
   * to ask there is nothing to do.
   */
  async verify(tenant: string, keys: readonly string[]): Promise<string[]> {
    if (this.source === null) return [...keys];
    const applied: Applied = { count: 0, missingBytes: 0, extraBytes: 0, wrongSizeBytes: 0 };
    const job = { source: this.source, tenant, held: NO_LEASE, applied, busy: null };
    const inLine: string[] = [];
    let left = [...keys];
    // Whether a correction was applied is seen by looking again.
    for (let look = 0; look < MOST_LOOKS && left.length > 0; look += 1) {
      const idle = (await this.tracker.lookup(tenant, left)).filter(({ pending }) => !pending);
      const findings = await this.findings(job, idle);
      const wrong = new Set(findings.map(({ correction }) => correction.key));
      for (const { key } of idle) if (!wrong.has(key)) inLine.push(key);
      await this.apply(job, findings);
      left = [...wrong];
    }
    return inLine;
  }

  private async work(
    tenant: string,
    held: HeldLease,
    { routine = false, busy = null }: WorkOptions,
  ): Promise<ReconcileReport> {
    const applied: Applied = { count: 0, missingBytes: 0, extraBytes: 0, wrongSizeBytes: 0 };
    const { source } = this;
    if (source !== null) await this.align({ source, tenant, held, applied, busy });
    const { driftBytes: recountBytes, usage } = await this.tracker.recount(tenant);
    const { count: corrected, ...entries } = applied;
    const causes = { ...entries, recountBytes };
    const driftBytes =
      causes.missingBytes + causes.extraBytes + causes.wrongSizeBytes + recountBytes;
    const report = { tenant, driftBytes, causes, corrected, usedBytes: usedBytes(usage) };
    this.observer.emit('reconciled', { ...report, routine });
    return report;
  }

  /** What adds to usage is mended at once; what takes away, once it is known how much that is. */
  private async align(job: Job): Promise<void> {
    await this.adoptMissing(job);
    const counted = usedBytes(await this.tracker.read(job.tenant));
    const plausible = Math.max(PLAUSIBLE_DROP_BYTES, counted / 2);
    let survey = await this.mendKnown(job, null);
    if (survey.shrinks === 0) return;
    let allowance = plausible;
    if (survey.bytes > plausible) {
      await pause(this.options.secondReadingMs ?? SECOND_READING_MS);
      const first = survey.bytes;
      survey = await this.mendKnown(job, null);
      if (survey.bytes > plausible) allowance = Math.max(first, survey.bytes);
    }
    await this.mendKnown(job, allowance);
  }

  /** Entries the storage has and the ledger doesn't. */
  private async adoptMissing(job: Job): Promise<void> {
    let cursor: string | null = null;
    do {
      const page = await job.source.page(job.tenant, cursor, PAGE);
      const keys = page.entries.map((entry) => entry.key);
      const views = await this.tracker.lookup(job.tenant, keys);
      const missing = views.filter((view) => view.entry === null);
      await this.apply(job, await this.findings(job, missing));
      cursor = page.next;
    } while (cursor !== null);
  }

  /**
   * Entries the ledger has, against what the storage says of them. Without an allowance those that
   * would take away are only summed; with one they are mended, as long as it is not used up.
   */
  private async mendKnown(
    job: Job,
    allowance: number | null,
  ): Promise<{ shrinks: number; bytes: number }> {
    const found = { shrinks: 0, bytes: 0 };
    let cursor: string | null = null;
    do {
      const page: { entries: KeyView[]; next: string | null } = await this.tracker.entries(
        job.tenant,
        cursor,
        PAGE,
      );
      const { growth, shrink, bytes } = growthAndShrink(await this.findings(job, page.entries));
      found.shrinks += shrink.length;
      found.bytes += bytes;
      await this.apply(job, growth);
      if (allowance !== null) {
        if (found.bytes > allowance) {
          this.refuse(job);
          return found;
        }
        await this.apply(job, shrink);
      }
      cursor = page.next;
    } while (cursor !== null);
    return found;
  }

  /** The storage says something else each time it is asked; the next reconciliation asks again. */
  private refuse({ tenant }: Job): void {
    this.observer.emit('error', { operation: 'reconcile', error: 'implausible_drop', tenant });
  }

  /** The storage is read after the ledger; see {@link apply}. */
  private async findings(job: Job, views: readonly KeyView[]): Promise<Finding[]> {
    const looked = job.busy === null ? views.filter(({ pending }) => !pending) : views;
    if (looked.length === 0) return [];
    for (const { key, pending } of looked) if (pending) job.busy?.add(key);
    const keys = looked.map((view) => view.key);
    const stored = await job.source.lookup(job.tenant, keys);
    const byKey = new Map(stored.map((entry) => [entry.key, entry]));
    return looked.flatMap((view) => correctionsFor(view, byKey.get(view.key)));
  }

  /**
   * A correction applies only to the ledger's entry as it was read: a write in between has either
   * left its reservation open or changed the entry. So two at once, or one that was killed midway,
   * do no harm.
   */
  private async apply(job: Job, findings: readonly Finding[]): Promise<void> {
    if (!(await job.held.keep(LEASE_MS))) throw busy();
    for (const cause of ['missingBytes', 'extraBytes', 'wrongSizeBytes'] as const) {
      const corrections = findings.filter((finding) => finding.cause === cause);
      if (corrections.length === 0) continue;
      const done = await this.tracker.correct(
        job.tenant,
        corrections.map(({ correction }) => correction),
      );
      job.applied.count += done.applied;
      job.applied[cause] -= done.deltaBytes;
    }
  }
}

function busy(): QuotaUnavailableError {
  const cause = new Error('The tenant is being reconciled elsewhere.');
  return new QuotaUnavailableError('reconcile', { applied: 'no', cause });
}
