import { RATIO_FLOORS } from './goals';
import { measureClosed, warmUp } from './parts/closed';
import { Progress } from './report/progress';
import { number } from './report/tables';
import type { Stand } from './stand/stand';
import { spreadOf } from './statistics';
import { ADAPTERS, variantOf, type Adapter } from './variants';

const VARIANTS = ['bare', 'guard-memory', 'guard-redis'].map(variantOf);
const ROUNDS = 7;
const SECONDS = 0.5;
const WARM_MS = 1_500;
const CONNECTIONS = [32];

/** Noise that is let pass, however far the rounds lie apart. */
const MOST_NOISE = 0.1;

/**
 * The form for CI: the guard in memory and with Redis, beside the bare route. A ratio must reach its
 * floor less the noise of this very run: half of how far the middle half of its rounds lies apart.
 *
 * @returns false when one does not.
 */
export async function runShort(stand: Stand): Promise<boolean> {
  let right = true;
  const steps = ADAPTERS.length * VARIANTS.length * (ROUNDS + 1);
  const progress = new Progress(steps);
  const lines: string[] = [];
  try {
    for (const adapter of ADAPTERS) {
      const subjects = await stand.open(adapter, VARIANTS);
      await warmUp(subjects, progress, WARM_MS);
      const options = { rounds: ROUNDS, seconds: SECONDS };
      for (const row of await measureClosed(subjects, options, progress, CONNECTIONS)) {
        const { passed, line } = judge(adapter, row);
        right &&= passed;
        lines.push(line);
      }
      await stand.close();
    }
  } finally {
    progress.stop();
  }
  console.log(lines.join('\n'));
  return right;
}

function judge(
  adapter: Adapter,
  { variant, ratios, problem }: { variant: string; ratios: readonly number[]; problem?: string },
): { passed: boolean; line: string } {
  const floor = RATIO_FLOORS[variant]?.[adapter];
  const name = `${adapter} ${variant}`.padEnd(24);
  if (problem !== undefined) return { passed: false, line: `${name}FAILED: ${problem}` };
  if (floor === undefined) return { passed: true, line: `${name}measured beside` };
  const { median, min, max } = spreadOf(ratios);
  const noise = Math.min(noiseOf(ratios), MOST_NOISE);
  const passed = median >= floor - noise;
  const found = `${number(median, 3)} (${number(min, 3)}–${number(max, 3)}) by the bare route`;
  const wanted = `floor ${number(floor, 2)} less ${number(noise, 3)} of noise`;
  return { passed, line: `${name}${found}; ${wanted}: ${passed ? 'passed' : 'FAILED'}` };
}

function noiseOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const quarter = Math.floor(sorted.length / 4);
  return ((sorted[sorted.length - 1 - quarter] ?? 0) - (sorted[quarter] ?? 0)) / 2;
}
