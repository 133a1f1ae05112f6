import { z } from 'zod';
import { rolloutFields } from './rollout-change';
import type { RolloutRow } from './rollout-store';

const word = z.object({
  ...rolloutFields,
  version: z.int().min(1),
  actor: z.string(),
  changedAt: z.iso.datetime().transform((text) => new Date(text)),
});

/** A change as it is told of, all of it: whoever hears it needs not ask for it first. */
export function rolloutWord(row: RolloutRow): string {
  return JSON.stringify(row);
}

/** Null: it cannot be read as one, and the table has to be asked. */
export function parseRolloutWord(text: string): RolloutRow | null {
  try {
    const parsed = word.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}
