import type { KeyView, UsageTracker } from '@app/quota';
import { invalidInput } from '../http/problem';
import { AgeHistogram } from './age-histogram';
import type { EvictableEntry, EvictablePage, EvictionSearch } from './cache-store';
import { OldestEntries } from './oldest-entries';

/** Entries on a page of the ledger's own listing. */
const LISTED_AT_ONCE = 500;

/**
 * A place in the ledger's own listing, of Redis a number, of this process a key; before it, where not all
 * of it is to go, when what is to go was written at the latest.
 */
const PLACE = /^(?:(\d{1,16})\/)?(\d{0,20}|>[^\0]{1,512})$/s;

/**
 * What an eviction may take of a ledger, which has no index by age. The oldest are found by a look at all
 * of its listing, page by page; what has no bytes would free none. Where more must go than a page of the
 * oldest, the same look finds up to when all of it was written, and the pages that follow are of
 * what is as old, as it comes in the listing: so a look for each page is not needed.
 */
export class LedgerEvictables {
  constructor(private readonly tracker: Pick<UsageTracker, 'entries'>) {}

  /** @throws ProblemException (400) when `at` is no place of ours */
  async page(tenant: string, { at, limit, freeBytes }: EvictionSearch): Promise<EvictablePage> {
    const place = parsePlace(at, freeBytes === null);
    if (place === null) throw invalidInput('resume', 'what the call before has answered');
    const { cursor, until } = place;
    if (freeBytes !== null && until === 0) return this.oldest(tenant, limit, freeBytes);
    const page = await this.tracker.entries(tenant, cursor, LISTED_AT_ONCE);
    const entries = present(page.entries);
    if (freeBytes === null) return { entries, here: at, next: page.next };
    const old = entries.filter(({ bytes, written = 0 }) => bytes > 0 && written <= until);
    return { entries: old, here: at, next: page.next === null ? '' : `${until}/${page.next}` };
  }

  private async oldest(tenant: string, limit: number, freeBytes: number): Promise<EvictablePage> {
    const [oldest, ages] = [new OldestEntries(limit), new AgeHistogram()];
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<UsageTracker['entries']>> = await this.tracker.entries(
        tenant,
        cursor,
        LISTED_AT_ONCE,
      );
      for (const entry of present(page.entries)) {
        if (entry.bytes === 0) continue;
        oldest.add(entry);
        ages.add(entry.written ?? 0, entry.bytes);
      }
      cursor = page.next;
    } while (cursor !== null);
    const entries = oldest.list();
    if (!oldest.left) return { entries, here: '', next: null };
    const found = entries.reduce((sum, { bytes }) => sum + bytes, 0);
    const until = Math.max(ages.writtenWithin(freeBytes), entries.at(-1)?.written ?? 0);
    const after = found < freeBytes && until > 0 ? `${until}/` : '';
    return { entries, here: after, next: after };
  }
}

/** `until` 0: the listing is to be searched first. Null: it is no such place. */
function parsePlace(at: string, all: boolean): { cursor: string | null; until: number } | null {
  const [, until, cursor] = PLACE.exec(at) ?? [];
  if (cursor === undefined || (all ? until !== undefined : until === undefined && at !== '')) {
    return null;
  }
  return { cursor: cursor === '' ? null : cursor, until: Number(until ?? 0) };
}

function present(views: readonly KeyView[]): EvictableEntry[] {
  return views.flatMap(({ key, entry }) => (entry === null ? [] : [{ key, ...entry }]));
}
