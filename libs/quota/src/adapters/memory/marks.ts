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

/** The settled ids of one tenant, the oldest first, since all live equally long. */
export class Marks {
  private readonly byId = new Map<string, { readonly until: number; readonly mark: unknown }>();

  get isEmpty(): boolean {
    return this.byId.size === 0;
  }

  get<K extends keyof MarkKinds>(kind: K, id: string, now: number): MarkKinds[K] | undefined {
    const found = this.byId.get(`${kind}:${id}`);
    return found && found.until > now ? (found.mark as MarkKinds[K]) : undefined;
  }

  set<K extends keyof MarkKinds>(kind: K, id: string, mark: MarkKinds[K], now: number): void {
    this.forget(now, FORGET_AT_ONCE);
    const name = `${kind}:${id}`;
    // Deleted first, so that it goes to the end of the order.
    this.byId.delete(name);
    this.byId.set(name, { until: now + MARK_MS, mark });
  }

  forget(now: number, max: number): void {
    let left = max;
    for (const [name, { until }] of this.byId) {
      if (until > now || left-- <= 0) return;
      this.byId.delete(name);
    }
  }
}
