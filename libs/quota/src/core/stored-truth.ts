import { QuotaUnavailableError } from './errors';
import type { Reconciler } from './reconciler';

/** Keys of one tenant that a write was on its way to. */
interface Waiting {
  readonly tenant: string;
  readonly keys: readonly string[];
  readonly looks: number;
}

/**
 * Looks at a second's distance: more than a reservation lives by default. What is written all the time
 * is as its last write left it.
 */
const MOST_LOOKS = 120;
/** Keys in a group that is looked at. */
const AT_ONCE = 500;
/** Groups of keys; beyond this the oldest are left to the next reconciliation. */
const MOST_WAITING = 1_000;

/**
 * What is really stored, for a bank that has to bring its ledger in line with it. Keys that a write is on
 * its way to cannot be looked at, and that write may come to nothing: they are looked at again.
 */
export class StoredTruth {
  private readonly waiting = new Set<Waiting>();

  constructor(private readonly reconciler: () => Pick<Reconciler, 'rebuild' | 'verify'>) {}

  /** Groups of keys that wait for another look. */
  get size(): number {
    return this.waiting.size;
  }

  /** See {@link Reconciler.rebuild}. */
  async rebuild(tenant: string): Promise<void> {
    const busy = await this.reconciler().rebuild(tenant);
    for (let i = 0; i < busy.length; i += AT_ONCE) {
      this.wait({ tenant, keys: busy.slice(i, i + AT_ONCE), looks: 0 });
    }
  }

  /**
   * Sees to it that the ledger has these keys as they are stored: now, or soon, see {@link again}.
   *
   * @throws what {@link Reconciler.verify} throws; nothing waits then
   */
  verify(tenant: string, keys: readonly string[]): Promise<void> {
    return this.look({ tenant, keys, looks: 0 });
  }

  /**
   * One more look at what waits. With the first that finds a store away the others wait for the next
   * time, since each may take its deadline.
   *
   * @returns the errors of what was given up
   */
  async again(): Promise<unknown[]> {
    const hopeless: unknown[] = [];
    for (const one of [...this.waiting]) {
      this.waiting.delete(one);
      try {
        await this.look(one);
      } catch (error) {
        if (error instanceof QuotaUnavailableError) {
          this.wait(one);
          break;
        }
        hopeless.push(error);
      }
    }
    return hopeless;
  }

  private async look({ tenant, keys, looks }: Waiting): Promise<void> {
    const inLine = new Set(await this.reconciler().verify(tenant, keys));
    const left = keys.filter((key) => !inLine.has(key));
    if (left.length > 0 && looks < MOST_LOOKS) this.wait({ tenant, keys: left, looks: looks + 1 });
  }

  private wait(one: Waiting): void {
    this.waiting.add(one);
    const [oldest] = this.waiting;
    if (this.waiting.size > MOST_WAITING && oldest !== undefined) this.waiting.delete(oldest);
  }
}
