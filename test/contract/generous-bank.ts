import { randomUUID } from 'node:crypto';
import { RedisUsageTracker } from '../../libs/quota/src/adapters/redis';
import {
  GrantShortError,
  MAX_BYTES,
  type CommitReply,
  type CommitRequest,
  type ReserveReply,
  type ReserveRequest,
} from '../../libs/quota/src/core';

/** A ledger under a bank that grants all there is to whoever asks, so that only the limit counts. */
export class GenerousRedisTracker extends RedisUsageTracker {
  private seq = 0;

  override reserve(request: ReserveRequest): Promise<ReserveReply> {
    return this.withGrant(request.tenant, () => super.reserve(request));
  }

  override commit(request: CommitRequest): Promise<CommitReply> {
    return this.withGrant(request.tenant, () => super.commit(request));
  }

  private async withGrant<T>(tenant: string, write: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await write();
      } catch (error) {
        if (!(error instanceof GrantShortError)) throw error;
        const nonce = randomUUID();
        const begun = await this.beginRebuild(tenant, 'bank', nonce, error.seen);
        const grant = { generation: 'bank', seq: ++this.seq, bytes: MAX_BYTES };
        if (begun === 'begun') await this.takeGrant(tenant, grant, nonce);
      }
    }
  }
}
