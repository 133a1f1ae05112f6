import { wasAdmitted } from './decision-recorder';
import type { DecisionRecord } from './decision-store';

/** A write that the proposed limit would have refused. */
export interface ReplayedRefusal {
  /** Ms since the epoch. */
  readonly at: number;
  readonly bytes: number;
  /** Used at that moment under the proposed limit. Null: refused for its size alone. */
  readonly usedBytes: number | null;
  /** How far the write would have gone beyond the limit. */
  readonly beyondBytes: number;
}

/** The limit a write is held against, in bytes; null: the one it was decided with. */
export type ProposedLimit = number | null;

/**
 * Replays the recorded writes of one tenant, in their order, against another limit. What was used in
 * truth is recorded with each write; kept beside it is by how much the replay differs from that, since
 * it refused what was stored, or stored what was refused. What goes between two writes by deletion and
 * expiry is taken to go from both in the same share: see docs/rollout.md for how far that can be off.
 */
export class TenantReplay {
  /** Used under the proposed limit, less used in truth. 0 as long as all decisions were the same. */
  private apart = 0;
  /** Used in truth after the write before. */
  private usedThen: number | null = null;

  constructor(private readonly limit: ProposedLimit) {}

  /** The next write. Null: it would have been admitted. */
  next(write: DecisionRecord): ReplayedRefusal | null {
    const { at, bytes, deltaBytes, usedBeforeBytes } = write;
    const admitted = wasAdmitted(write);
    if (usedBeforeBytes === null) {
      // Larger than any write may be; in shadow it was stored all the same.
      if (admitted) this.apart -= deltaBytes;
      this.usedThen = null;
      return { at, bytes, usedBytes: null, beyondBytes: Math.max(0, bytes - write.hardBytes) };
    }
    this.forget(usedBeforeBytes);
    const used = usedBeforeBytes + this.apart;
    const hard = this.limit ?? write.hardBytes;
    const beyond = used + deltaBytes - hard;
    const refused = deltaBytes > 0 && beyond > 0;
    if (refused && admitted) this.apart -= deltaBytes;
    if (!refused && !admitted) this.apart += deltaBytes;
    this.usedThen = usedBeforeBytes + (admitted ? deltaBytes : 0);
    return refused ? { at, bytes, usedBytes: used, beyondBytes: beyond } : null;
  }

  /** What has gone since the write before. Nobody holds less than nothing. */
  private forget(usedNow: number): void {
    const then = this.usedThen;
    if (then !== null && usedNow < then && this.apart !== 0) {
      this.apart = Math.round((this.apart * usedNow) / then);
    }
    this.apart = Math.max(this.apart, -usedNow);
  }
}
