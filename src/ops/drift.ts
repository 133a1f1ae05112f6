import type { DriftCauses, QuotaEvents } from '@app/quota';
import { LRUCache } from 'lru-cache';

/** So long what a reconciliation found is shown, in ms; tenants beyond the most recent are not. */
const SHOWN_MS = 15 * 60_000;
const MOST_TENANTS = 10_000;

type Found = Pick<QuotaEvents['reconciled'], 'driftBytes' | 'causes'>;

/**
 * What the latest reconciliation of each tenant found, for a quarter of an hour. Of all tenants, since
 * in a round of thousands the last one says nothing of those before it.
 */
export class RecentDrift {
  private readonly found: LRUCache<string, Found>;

  /** @param now ms, going on evenly */
  constructor(now: () => number = () => performance.now()) {
    this.found = new LRUCache({
      max: MOST_TENANTS,
      ttl: SHOWN_MS,
      ttlResolution: 0,
      perf: { now },
    });
  }

  note({ tenant, driftBytes, causes }: QuotaEvents['reconciled']): void {
    if (Object.values(causes).every((bytes) => bytes === 0)) this.found.delete(tenant);
    else this.found.set(tenant, { driftBytes, causes });
  }

  /** Bytes, signed; the sum of all and by cause. */
  sum(): Found {
    const causes = { missingBytes: 0, extraBytes: 0, wrongSizeBytes: 0, recountBytes: 0 };
    let driftBytes = 0;
    for (const found of this.found.values()) {
      driftBytes += found.driftBytes;
      for (const cause of Object.keys(causes) as (keyof DriftCauses)[]) {
        causes[cause] += found.causes[cause];
      }
    }
    return { driftBytes, causes };
  }
}
