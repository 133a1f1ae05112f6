/** A name that is ours for a while. */
export interface HeldLease {
  /** Ours for `ms` from now. False: it lapsed and somebody else has it, or nobody can say. */
  keep(ms: number): Promise<boolean>;
  /** Gives it up, if it is still ours. */
  release(): Promise<void>;
}

/**
 * Work that one instance at a time should do. A lease lapses by itself, so that a holder that was
 * killed blocks nobody for longer than it asked for. It saves work and keeps reports clear; what is
 * done under it must be right without it too, since a holder may stall beyond its time.
 */
export abstract class UpkeepLease {
  /** Takes the name for `ms`; null while somebody else has it. @throws QuotaUnavailableError */
  abstract take(name: string, ms: number): Promise<HeldLease | null>;
}

/** Leases among those who share this object: one process. */
export class LocalLease extends UpkeepLease {
  private readonly held = new Map<string, { owner: symbol; until: number }>();

  constructor(private readonly clock: () => number = () => performance.now()) {
    super();
  }

  async take(name: string, ms: number): Promise<HeldLease | null> {
    const owner = Symbol(name);
    if (!this.claim(name, owner, ms)) return null;
    return {
      keep: async (more) => this.claim(name, owner, more),
      release: async () => {
        if (this.held.get(name)?.owner === owner) this.held.delete(name);
      },
    };
  }

  private claim(name: string, owner: symbol, ms: number): boolean {
    const now = this.clock();
    const present = this.held.get(name);
    if (present !== undefined && present.owner !== owner && present.until > now) return false;
    this.held.set(name, { owner, until: now + ms });
    return true;
  }
}
