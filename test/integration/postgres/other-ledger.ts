import type { FoldBatch, QuotaBank } from '@app/quota';

export interface Stored {
  readonly bytes: number;
  readonly version: number;
}

/** What a ledger under the bank would hold, in a few lines: it takes grants, and each batch once. */
export class OtherLedger {
  generation: string | null = null;
  seq = 0;
  bytes = 0;
  fold = 0;
  unkeyed = 0;
  underflow = 0;
  readonly entries = new Map<string, Stored>();

  get used(): number {
    return [...this.entries.values()].reduce((sum, { bytes }) => sum + bytes, this.unkeyed);
  }

  clear(): void {
    this.generation = null;
    this.seq = this.bytes = this.unkeyed = 0;
    this.entries.clear();
  }

  /** A ledger of another life, or one that knows no grant, is empty and says so by a rebuild. */
  async fetch(bank: QuotaBank, tenant: string, want: number, hard: number, chunk: number) {
    const ask = { tenant, wantBytes: want, hardBytes: hard, chunkBytes: chunk };
    let reply = await bank.grant({ ...ask, seen: this.seq });
    if (reply.outcome === 'dropping') {
      this.clear();
      await bank.dropped(tenant, reply.generation);
      reply = await bank.grant({ ...ask, seen: 0 });
    }
    const other = reply.outcome === 'granted' && reply.grant.generation !== this.generation;
    if (other) this.clear();
    if (reply.outcome === 'lost' || other) {
      reply = await bank.grant({ ...ask, seen: 0, rebuilt: true });
    }
    if (reply.outcome === 'granted' && reply.grant.seq > this.seq) {
      ({ generation: this.generation, seq: this.seq, bytes: this.bytes } = reply.grant);
    }
    return reply;
  }

  /** @returns false where the batch is of another life. */
  apply(batch: FoldBatch): boolean {
    if (batch.generation !== this.generation) return false;
    if (batch.number <= this.fold) return true;
    this.fold = batch.number;
    this.bytes += batch.bytes;
    for (const { key, bytes, ttlMs, version } of batch.items) {
      if ((this.entries.get(key)?.version ?? 0) > version) continue;
      if (bytes === undefined || ttlMs === 0) this.entries.delete(key);
      else this.entries.set(key, { bytes, version });
    }
    this.unkeyed += batch.unkeyedBytes - batch.refundBytes;
    this.underflow += Math.max(-this.unkeyed, 0);
    this.unkeyed = Math.max(this.unkeyed, 0);
    return true;
  }

  /** One round of folding, as any instance does it. @returns false where there is nothing to fold. */
  async take(bank: QuotaBank, tenant: string, max: number): Promise<boolean> {
    const batch = await bank.beginFold(tenant, max);
    if (batch === null) return false;
    if (this.apply(batch)) await bank.endFold(tenant, batch.number);
    return true;
  }
}
