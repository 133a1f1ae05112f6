import { percentile } from '../support';

const TICK_MS = 10;
/** A gap that long is a stall of ours. */
const STALL_MS = 25;

/** How long this process itself did nothing: what it measures then is not the service's time. */
export class StallWatch {
  private readonly gaps: { readonly from: number; readonly to: number }[] = [];
  private last = performance.now();
  private readonly timer = setInterval(() => this.tick(), TICK_MS);

  stop(): void {
    clearInterval(this.timer);
  }

  /** Ms of the worst gap between two moments of `performance.now()`. */
  worst(from: number, to: number): number {
    let worst = 0;
    for (let i = this.gaps.length - 1; i >= 0; i -= 1) {
      const gap = this.gaps[i];
      if (gap === undefined || gap.to < from) break;
      if (gap.from <= to) worst = Math.max(worst, gap.to - gap.from - TICK_MS);
    }
    return worst;
  }

  private tick(): void {
    const now = performance.now();
    if (now - this.last > STALL_MS) this.gaps.push({ from: this.last, to: now });
    this.last = now;
  }
}

export interface Slowness {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** The slowest, and what of it our own stall took at most. */
  readonly maxStall: number;
}

/** Times of answers by the kinds of faults that were in force, as ms less our own stalls. */
export class Latencies {
  private readonly times = new Map<string, { ms: number[]; max: number; stall: number }>();

  add(kinds: readonly string[], tookMs: number, stallMs: number): void {
    for (const kind of ['all', ...(kinds.length === 0 ? ['no fault'] : kinds)]) {
      let times = this.times.get(kind);
      if (times === undefined) this.times.set(kind, (times = { ms: [], max: -1, stall: 0 }));
      const ms = Math.max(0, tookMs - stallMs);
      times.ms.push(ms);
      if (ms > times.max) [times.max, times.stall] = [ms, stallMs];
    }
  }

  summary(): Record<string, Slowness> {
    const entries = [...this.times].map(([kind, { ms, max, stall }]): [string, Slowness] => [
      kind,
      {
        count: ms.length,
        p50: Math.round(percentile(ms, 50)),
        p99: Math.round(percentile(ms, 99)),
        max: Math.round(max),
        maxStall: Math.round(stall),
      },
    ]);
    return Object.fromEntries(entries);
  }
}
