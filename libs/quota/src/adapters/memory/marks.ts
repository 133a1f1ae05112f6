import type { QuotaDecision } from '../../core';

/** How long a settled id is remembered, so that sending it again has no further effect. */
export const MARK_MS = 10_000;

/** Old marks forgotten with each new one; more than one, so that their number falls to what is due. */
const FORGET_AT_ONCE = 64;

/** What was asked for under an id; absent for an id that was settled without ever being reserved. */
export interface Asked {
  readonly key: string | undefined;
  readonly bytes: number;
  readonly decision: QuotaDecision;
  /** See ReserveRequest.keep. */
  readonly keep?: boolean;
}

/** How a reservation ended, with what the reply said. */
export type WriteMark = { readonly asked: Asked | undefined } & (
  | {
      readonly state: 'committed';
      readonly key: string | undefined;
      readonly replaced: boolean;
      readonly expiresAt?: number;
    }
  | { readonly state: 'refused'; readonly key: string | undefined }
  | { readonly state: 'released' }
);

/** The operations with ids of their own. Equal ids of two operations have nothing to do with each other. */
interface MarkKinds {
  write: WriteMark;
  remove: { readonly removed: boolean; readonly freedBytes: number };
  refund: { readonly freedBytes: number; readonly underflowBytes: number };
  store: { readonly replaced: boolean; readonly expiresAt?: number };
}

interface Kept<T> {
  readonly until: number;
  readonly mark: T;
}

/** The settled ids of one tenant; those of a kind the oldest first, since all live equally long. */
export class Marks {
  private readonly kinds: { readonly [K in keyof MarkKinds]: Map<string, Kept<MarkKinds[K]>> } = {
    write: new Map(),
    remove: new Map(),
    refund: new Map(),
    store: new Map(),
  };

  get isEmpty(): boolean {
    return Object.values(this.kinds).every((kind) => kind.size === 0);
  }

  get<K extends keyof MarkKinds>(kind: K, id: string, now: number): MarkKinds[K] | undefined {
    const found = this.kinds[kind].get(id);
    return found && found.until > now ? found.mark : undefined;
  }

  set<K extends keyof MarkKinds>(kind: K, id: string, mark: MarkKinds[K], now: number): void {
    const marks = this.kinds[kind];
    forget(marks, now, FORGET_AT_ONCE);
    // Deleted first, so that it goes to the end of the order.
    marks.delete(id);
    marks.set(id, { until: now + MARK_MS, mark });
  }

  forget(now: number, max: number): void {
    for (const kind of Object.values(this.kinds)) forget(kind, now, max);
  }
}

function forget(marks: Map<string, { readonly until: number }>, now: number, max: number): void {
  let left = max;
  for (const [id, { until }] of marks) {
    if (until > now || left-- <= 0) return;
    marks.delete(id);
  }
}
