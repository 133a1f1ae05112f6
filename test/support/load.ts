/** One call of a load: when it began, in ms of `performance.now()`, how long it took, what came. */
export interface Sample {
  readonly startedAt: number;
  readonly tookMs: number;
  readonly error?: unknown;
}

const PAUSE_MS = 4;

/** Runs `call` over and over, `width` at a time, until the returned function is called. */
export function startLoad(
  width: number,
  call: (n: number) => Promise<unknown>,
): () => Promise<Sample[]> {
  const samples: Sample[] = [];
  let ended = false;
  let n = 0;
  const work = async (): Promise<void> => {
    while (!ended) {
      const startedAt = performance.now();
      const error: unknown = await call(n++).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      samples.push({
        startedAt,
        tookMs: performance.now() - startedAt,
        ...(error !== undefined && { error }),
      });
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  };
  const workers = Array.from({ length: width }, work);
  return async () => {
    ended = true;
    await Promise.all(workers);
    return samples;
  };
}

/** The smallest number that so many percent of them are not above. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? NaN;
}

/**
 * The longest that this process stood still, in ms, until the returned function is called: what a
 * starved test adds to every latency it measures.
 */
export function startStallMeter(): () => number {
  const EVERY_MS = 10;
  let worst = 0;
  let last = performance.now();
  const look = (): void => {
    const now = performance.now();
    worst = Math.max(worst, now - last - EVERY_MS);
    last = now;
  };
  const timer = setInterval(look, EVERY_MS);
  return () => {
    clearInterval(timer);
    look();
    return worst;
  };
}
