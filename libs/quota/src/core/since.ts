import { z } from 'zod';

const DAY_MS = 86_400_000;
const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: DAY_MS };
const MOST_MS = 366 * DAY_MS;

/** What {@link parseSince} takes. */
export const SINCE_ALLOWED =
  'a time span up to 366d, as 90s, 30m, 24h or 7d, or a time as 2027-01-31T12:00:00Z';

/** A span back from now, or a point in time, as ms since the epoch; null: it is neither. */
export function parseSince(text: string, now = Date.now()): number | null {
  const [, digits, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const time = z.iso.datetime({ offset: true }).safeParse(text).success ? Date.parse(text) : NaN;
  const back = digits === undefined ? now - time : Number(digits) * (UNITS[unit ?? ''] ?? NaN);
  return back >= 0 && back <= MOST_MS ? now - back : null;
}
