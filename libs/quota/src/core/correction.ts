import type { EntryCorrection, KeyView, SourceEntry } from './usage-tracker';

/** The storage's clock and the ledger's are not the same one; expiries this close, in ms, are equal. */
const SAME_EXPIRY_MS = 60_000;

/** What corrections have come to: how many, and bytes counted minus true bytes by what was wrong. */
export interface Applied {
  count: number;
  missingBytes: number;
  extraBytes: number;
  wrongSizeBytes: number;
}

/** An entry of the ledger that is not as the storage has it. */
export interface Finding {
  readonly cause: Exclude<keyof Applied, 'count'>;
  readonly correction: EntryCorrection;
  /** What the ledger would come to count less. Negative: more. */
  readonly dropBytes: number;
}

/** At most one finding. */
export function correctionsFor(view: KeyView, stored: SourceEntry | undefined): Finding[] {
  const { key, entry } = view;
  if (entry?.bytes === stored?.bytes && sameExpiry(entry?.expiresAt, stored?.expiresAt)) return [];
  const correction: EntryCorrection = {
    key,
    ...(stored !== undefined && { bytes: stored.bytes }),
    ...(stored?.expiresAt !== undefined && { expiresAt: stored.expiresAt }),
    ...(stored?.version !== undefined && { version: stored.version }),
    ...(entry !== null && { seen: { bytes: entry.bytes, version: entry.version } }),
  };
  const dropBytes = (entry?.bytes ?? 0) - (stored?.bytes ?? 0);
  return [{ cause: causeOf(entry, stored), correction, dropBytes }];
}

export function growthAndShrink(findings: readonly Finding[]): {
  growth: Finding[];
  shrink: Finding[];
  /** What the shrinking ones come to. */
  bytes: number;
} {
  const shrinks = ({ cause, dropBytes }: Finding): boolean =>
    cause === 'extraBytes' || dropBytes > 0;
  const shrink = findings.filter(shrinks);
  return {
    growth: findings.filter((finding) => !shrinks(finding)),
    shrink,
    bytes: shrink.reduce((sum, { dropBytes }) => sum + dropBytes, 0),
  };
}

function causeOf(entry: KeyView['entry'], stored: SourceEntry | undefined): Finding['cause'] {
  if (entry === null) return 'missingBytes';
  return stored === undefined ? 'extraBytes' : 'wrongSizeBytes';
}

function sameExpiry(a: number | undefined, b: number | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return Math.abs(a - b) <= SAME_EXPIRY_MS;
}
