import { Injectable } from '@nestjs/common';
import { QuotaObserver, QuotaUnavailableError, usedBytes, UsageTracker } from '@app/quota';
import { invalidInput } from '../http/problem';
import { CacheStore, type EvictableEntry } from './cache-store';
import { EvictionTrail, type EvictionCounts, type EvictionOrder } from './eviction-trail';
import { formatPlace, parsePlace, type EvictionPlace } from './eviction-place';

/** Bounds of one call. */
export const MAX_EVICTED = 1_000;
const MAX_MS = 5_000;
/** For removing, however long it took to find what goes first: so every call gets on. */
const LEAST_MS = 1_000;

export interface EvictionReport extends EvictionCounts {
  /** To go on with in the next call; null: it is done. */
  readonly resume: string | null;
}

/** One call's work. */
interface Work {
  readonly order: EvictionOrder;
  readonly targetBytes: number | null;
  until: number;
  readonly counted: { evicted: number; freedBytes: number };
  tried: number;
  used: number;
}

/**
 * Removes a tenant's entries one by one, each as DELETE does. An eviction ends however much is written
 * meanwhile: it takes only what was there when it began, or, where the storage cannot tell that of an
 * entry, no more bytes than were used then.
 */
@Injectable()
export class Eviction {
  constructor(
    private readonly store: CacheStore,
    private readonly tracker: UsageTracker,
    private readonly trail: EvictionTrail,
    private readonly observer: QuotaObserver,
  ) {}

  /**
   * @param targetBytes goes on until used is no more than that; null: until nothing is left
   * @param resume what the call before has answered, to go on with the same eviction
   * @throws QuotaUnavailableError: what was removed until then stays removed. When the trail cannot be
   * begun nothing is removed.
   * @throws ProblemException (400) when `resume` is not usable
   */
  async run(
    order: EvictionOrder,
    targetBytes: number | null,
    resume?: string,
  ): Promise<EvictionReport> {
    const until = performance.now() + MAX_MS;
    const resumed = resume === undefined ? null : await this.resumed(order, resume);
    const used = usedBytes(await this.tracker.read(order.tenant));
    const begin = async (): Promise<EvictionPlace> => {
      const id = await this.trail.begin(order, used);
      return { id, allowanceBytes: used, at: '' };
    };
    const place = resumed ?? (await begin());
    const counted = { evicted: 0, freedBytes: 0 };
    const work: Work = { order, targetBytes, until, counted, tried: 0, used };
    let next: EvictionPlace | null = place;
    try {
      next = await this.work(work, place);
    } finally {
      await this.tell(work, place.id, next === null);
    }
    return {
      ...{ ...counted, usedBytes: work.used, done: next === null },
      resume: next && formatPlace(next),
    };
  }

  /** Nothing is removed that no row of the trail tells of. */
  private async resumed(order: EvictionOrder, resume: string): Promise<EvictionPlace> {
    const place = parsePlace(resume);
    if (place !== null && (await this.trail.isOpen(place.id, order))) return place;
    const allowed = 'what the call before has answered, beside the same target';
    throw invalidInput('resume', allowed);
  }

  /** @returns where to go on; null: nowhere */
  private async work(work: Work, from: EvictionPlace): Promise<EvictionPlace | null> {
    const { order, targetBytes, counted } = work;
    let place = from;
    for (let pages = 1; ; pages += 1) {
      if (isReached(work, from)) return null;
      const limit = MAX_EVICTED - work.tried;
      const freeBytes = targetBytes === null ? null : work.used - targetBytes;
      const page = await this.store.evictable(order.tenant, { at: place.at, limit, freeBytes });
      if (pages === 1) work.until = Math.max(work.until, performance.now() + LEAST_MS);
      const here = { ...place, at: page.here };
      const left = (): EvictionPlace => ({
        ...here,
        allowanceBytes: Math.max(0, from.allowanceBytes - counted.freedBytes),
      });
      for (const entry of page.entries) {
        if (work.tried >= MAX_EVICTED || performance.now() > work.until) return left();
        await this.evict(work, entry);
        if (isReached(work, from)) return null;
      }
      if (page.next === null) return null;
      place = { ...place, at: page.next };
      const over = work.tried >= MAX_EVICTED || performance.now() > work.until;
      // To search anew takes long, and has a call of its own.
      if (over || page.next === '') return { ...left(), at: page.next };
    }
  }

  private async evict(work: Work, entry: EvictableEntry): Promise<void> {
    const { counted } = work;
    work.tried += 1;
    const { removed, freedBytes, usage } = await this.store.evict(work.order.tenant, entry);
    if (removed) counted.evicted += 1;
    counted.freedBytes += freedBytes;
    if (usage === null) throw new QuotaUnavailableError('evict', { applied: 'unknown' });
    work.used = usedBytes(usage);
  }

  /** To the log in any case, before the trail may fail. */
  private async tell({ order, counted, used }: Work, id: number, done: boolean): Promise<void> {
    const { tenant, actor } = order;
    if (counted.evicted > 0) this.observer.emit('evicted', { tenant, actor, ...counted });
    await this.trail.add(id, tenant, { ...counted, usedBytes: used, done });
  }
}

function isReached({ targetBytes, used, counted }: Work, from: EvictionPlace): boolean {
  if (targetBytes === null) return false;
  return used <= targetBytes || counted.freedBytes >= from.allowanceBytes;
}
