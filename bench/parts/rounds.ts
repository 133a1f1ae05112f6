import { NotServedError } from '../load/send';
import type { Progress } from '../report/progress';
import type { Subject } from '../stand/subject-process';
import { rotated } from '../statistics';

/** What came of a variant's rounds. */
export interface Measured<T> {
  readonly rounds: T[];
  /** It answered with an error; then it was not measured any further, and what it had is void. */
  problem?: string;
}

/** By variant. */
export type Rounds<T> = Map<string, Measured<T>>;

/**
 * Measures all subjects in each round, every round in another order.
 *
 * @throws what `measure` throws, but a NotServedError: that is what there is to tell of the variant.
 */
export async function interleaved<T>(
  subjects: readonly Subject[],
  rounds: number,
  progress: Progress,
  measure: (subject: Subject) => Promise<T>,
): Promise<Rounds<T>> {
  const all: Rounds<T> = new Map();
  for (const { settings } of subjects) all.set(settings.variant, { rounds: [] });
  for (let round = 0; round < rounds; round++) {
    for (const subject of rotated(subjects, round)) {
      const { variant, adapter } = subject.settings;
      progress.step(`${adapter} ${variant}, round ${round + 1} of ${rounds}`);
      const found = all.get(variant);
      if (found === undefined || found.problem !== undefined) continue;
      try {
        found.rounds.push(await measure(subject));
      } catch (error) {
        if (!(error instanceof NotServedError)) throw error;
        found.problem = error.message;
        found.rounds.length = 0;
      }
    }
  }
  return all;
}

/** Of each round, a variant's figure by the bare route's of the same round. */
export function ratiosToBare<T>(
  all: Rounds<T>,
  variant: string,
  figure: (found: T) => number,
): number[] {
  const bare = all.get('bare')?.rounds ?? [];
  const own = all.get(variant)?.rounds ?? [];
  return own.flatMap((found, i) => {
    const of = bare[i];
    return of === undefined ? [] : [figure(found) / figure(of)];
  });
}
