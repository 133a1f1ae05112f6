import { QuotaExceededError, type QuotaChecker } from '@app/quota';

/** Reserve and commit, over and over, without HTTP. */
export interface Pounding {
  /** Writes under way at any time. */
  readonly width: number;
  /** Ends after so many writes or ms, whichever comes first. */
  readonly maxWrites: number;
  readonly maxMs: number;
  readonly tenants: number;
  readonly keys: number;
  readonly bytes: number;
}

export interface PoundResult {
  readonly writes: number;
  readonly ms: number;
  readonly cpuMicros: number;
  readonly heapGrownBytes: number;
}

/** @throws QuotaExceededError when a write is refused: then nothing was measured. */
export async function pound(checker: QuotaChecker, pounding: Pounding): Promise<PoundResult> {
  const { width, maxWrites, maxMs, tenants, keys, bytes } = pounding;
  const heap = process.memoryUsage().heapUsed;
  const cpu = process.cpuUsage();
  const started = performance.now();
  let begun = 0;
  const work = async (): Promise<void> => {
    while (begun < maxWrites && performance.now() - started < maxMs) {
      const n = begun++;
      const tenant = `pound-${n % tenants}`;
      const key = `key-${Math.floor(n / tenants) % keys}`;
      const verdict = await checker.reserve({ tenant, key, bytes });
      if (!verdict.admitted) throw new QuotaExceededError(verdict);
      const reply = await verdict.reservation.commit();
      if (reply?.outcome !== 'committed') throw new Error(`A commit ended as ${reply?.outcome}.`);
    }
  };
  await Promise.all(Array.from({ length: width }, work));
  const { user, system } = process.cpuUsage(cpu);
  return {
    writes: begun,
    ms: performance.now() - started,
    cpuMicros: user + system,
    heapGrownBytes: process.memoryUsage().heapUsed - heap,
  };
}
