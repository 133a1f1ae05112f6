import type { UsagePeriod } from '../usage-log';

/** How a period is written, and read again. */
const FORMS: Readonly<Record<UsagePeriod, { length: number; pattern: RegExp; rest: string }>> = {
  hour: { length: 13, pattern: /^\d{4}-\d\d-\d\dT\d\d:00:00Z$/, rest: ':00:00Z' },
  day: { length: 10, pattern: /^\d{4}-\d\d-\d\d$/, rest: 'T00:00:00Z' },
  month: { length: 7, pattern: /^\d{4}-\d\d$/, rest: '-01T00:00:00Z' },
};

/** `2026-11-01T10:00:00Z`, `2026-11-01` or `2026-11`, by its first moment. */
export function formatPeriod(by: UsagePeriod, start: Date): string {
  const text = start.toISOString().slice(0, FORMS[by].length);
  return by === 'hour' ? text + FORMS.hour.rest : text;
}

/** The first moment of a period as {@link formatPeriod} writes it; null: there is no such period. */
export function parsePeriod(by: UsagePeriod, text: string): Date | null {
  const { length, pattern, rest } = FORMS[by];
  if (!pattern.test(text)) return null;
  const start = new Date(text.slice(0, length) + rest);
  // The 31st of a shorter month would be taken for a day of the next.
  return Number.isNaN(start.getTime()) || formatPeriod(by, start) !== text ? null : start;
}
