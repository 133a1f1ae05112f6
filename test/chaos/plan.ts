import type { Fault } from './fault-kind';
import { FAULTS } from './faults';
import type { Store } from './options';
import { Random } from './prng';

const INSTANCES = 3;
/** One fault in so many ms, more or less. */
const EVERY_MS = 1_500;

/**
 * The faults of a run: by the seed alone. Every kind has its turn before one comes again; which of
 * them overlap is left to chance, but no two have the same server, link or process at a time.
 */
export function planFaults(
  seed: number,
  { store, seconds, kinds }: { store: Store; seconds: number; kinds: readonly string[] | null },
): Fault[] {
  const random = new Random(seed ^ (store === 'redis' ? 0 : 0x9e3779b9));
  const possible = Object.keys(FAULTS).filter(
    (kind) => (kinds?.includes(kind) ?? true) && (FAULTS[kind]?.store ?? store) === store,
  );
  if (possible.length === 0) return [];
  const plan: Fault[] = [];
  let deck: string[] = [];
  for (let atMs = EVERY_MS; atMs < seconds * 1_000;) {
    if (deck.length === 0) deck = random.shuffled(possible);
    const kind = deck.pop() ?? '';
    const [min, max] = FAULTS[kind]?.ms ?? [0, 0];
    const instance = random.int(0, INSTANCES - 1);
    plan.push({ kind, atMs, ms: random.int(min, max), instance, roll: random.next() });
    atMs += random.int(EVERY_MS * 0.5, EVERY_MS * 1.5);
  }
  return plan;
}
