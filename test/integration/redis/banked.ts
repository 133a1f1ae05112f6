import { randomUUID } from 'node:crypto';
import type { RedisUsageTracker } from '../../../libs/quota/src/adapters/redis';
import { GrantShortError, type FoldBatch, type QuotaLimits } from '../../../libs/quota/src/core';
import { Scene } from '../../contract/usage-tracker/scene';
import type { Ledger } from './ledger';

export const LIFE = 'bank-life-1';

/** A tenant of a ledger under a bank, and the bank's words to it. */
export class BankedScene extends Scene {
  constructor(
    override readonly tracker: RedisUsageTracker,
    tenant: string,
    limits: QuotaLimits,
  ) {
    super(tracker, tenant, limits);
  }

  begin(nonce = 'nonce', seen = 0, generation = LIFE) {
    return this.tracker.beginRebuild(this.tenant, generation, nonce, seen);
  }

  take(seq: number, bytes: number, nonce?: string, generation = LIFE) {
    return this.tracker.takeGrant(this.tenant, { generation, seq, bytes }, nonce);
  }

  /** The first grant, as it is given: at the end of a rebuild. */
  async granted(bytes: number, seq = 1): Promise<this> {
    const nonce = randomUUID();
    expect(await this.begin(nonce)).toBe('begun');
    expect(await this.take(seq, bytes, nonce)).toBe('taken');
    return this;
  }

  fold(number: number, batch: Partial<FoldBatch>) {
    const nothing = { items: [], unkeyedBytes: 0, refundBytes: 0, bytes: 0 };
    return this.tracker.fold(this.tenant, { generation: LIFE, number, ...nothing, ...batch });
  }

  standing() {
    return this.tracker.ledgerStanding(this.tenant);
  }

  /** The same tenant on another tracker. */
  on(tracker: RedisUsageTracker): BankedScene {
    return new BankedScene(tracker, this.tenant, this.limits);
  }
}

/** A tenant that nothing has used, with room for a million bytes unless told otherwise. */
export function bankedScene(ledger: Ledger, hardBytes = 1_000_000): BankedScene {
  const limits = { quotaBytes: hardBytes, hardBytes };
  return new BankedScene(ledger.tracker, `t-${randomUUID()}`, limits);
}

/** The error of a write that the grant is too small for. */
export async function short(write: Promise<unknown>): Promise<GrantShortError> {
  const outcome: unknown = await write.catch((error: unknown) => error);
  expect(outcome).toBeInstanceOf(GrantShortError);
  return outcome as GrantShortError;
}
