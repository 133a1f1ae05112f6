import { clock, sleep } from './clock';
import type { Fault } from './fault-kind';
import { FAULTS } from './faults';
import type { Stand } from './stand';

export interface Force {
  readonly kind: string;
  readonly from: number;
  /** Infinity while it is in force. */
  to: number;
}

/** What a fault did is felt for a moment after it is over. */
const AFTERMATH_MS = 500;

/** Brings the planned faults about, and knows which were in force when. */
export class FaultRunner {
  readonly history: Force[] = [];
  private readonly turns = new Map<string, Promise<void>>();
  private readonly running = new Set<Promise<void>>();
  private stopped = false;
  private wake: () => void = () => undefined;

  constructor(
    private readonly stand: Stand,
    private readonly failed: (what: string) => void,
  ) {}

  /** Resolves when the last fault is over. */
  async run(plan: readonly Fault[]): Promise<void> {
    const started = clock();
    for (const fault of plan) {
      await Promise.race([
        sleep(fault.atMs - (clock() - started)),
        new Promise<void>((resolve) => (this.wake = resolve)),
      ]);
      if (this.stopped) break;
      const work = this.inTurn(fault).finally(() => this.running.delete(work));
      this.running.add(work);
    }
    await Promise.all(this.running);
  }

  /** No more faults begin; those in force are left to end. */
  stop(): void {
    this.stopped = true;
    this.wake();
  }

  inForce(from: number, to: number): string[] {
    const kinds = this.history
      .filter((force) => force.from <= to && force.to + AFTERMATH_MS >= from)
      .map(({ kind }) => kind);
    return [...new Set(kinds)];
  }

  counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { kind } of this.history) counts[kind] = (counts[kind] ?? 0) + 1;
    return counts;
  }

  /** Two that want the same thing come one after the other. */
  private async inTurn(fault: Fault): Promise<void> {
    const takes = FAULTS[fault.kind]?.takes(fault) ?? [];
    const before = takes.map(async (name) => this.turns.get(name));
    const mine = Promise.all(before).then(() => this.bringAbout(fault));
    for (const name of takes) this.turns.set(name, mine);
    await mine;
  }

  private async bringAbout(fault: Fault): Promise<void> {
    if (this.stopped) return;
    const force: Force = { kind: fault.kind, from: clock(), to: Infinity };
    this.history.push(force);
    try {
      const end = await FAULTS[fault.kind]?.begin(this.stand, fault);
      await sleep(end === undefined ? 0 : fault.ms);
      await end?.();
    } catch (error) {
      this.failed(`${fault.kind}: ${String(error)}`);
    } finally {
      force.to = clock();
    }
  }
}
