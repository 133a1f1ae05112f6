import { randomUUID } from 'node:crypto';
import type { FoldBatch, FoldItem, Grant, GrantedLedger, LedgerStanding } from '../../core';
import { GrantShortError, parseKey } from '../../core';
import { id, invalid, optionalWhole, whole } from './arguments';
import type { LedgerScripts } from './ledger-scripts';
import { ReplyCode, type Reply } from './replies';

/** As many as fold.lua takes in its one step. */
const MAX_ITEMS = 1_000;

/** What the ledger knows of the bank above it: its grants, its rebuilds, and the batches it took. */
export class LedgerGrants implements GrantedLedger {
  constructor(private readonly ledger: LedgerScripts) {}

  async ledgerStanding(tenant: string): Promise<LedgerStanding> {
    const reply = await this.ledger.raw({ script: 'grant-standing', tenant, args: [] });
    if (reply.code !== ReplyCode.DONE) throw reply.unexpected();
    const [life, generation] = [reply.text(), reply.text()];
    return {
      life: life === '' ? null : life,
      generation: generation === '' ? null : generation,
      seq: reply.whole(),
      grantBytes: reply.whole(),
      fold: reply.whole(),
      rebuilding: reply.flag(),
    };
  }

  async beginRebuild(
    tenant: string,
    generation: string,
    nonce: string,
    seen: number,
  ): Promise<'begun' | 'known' | 'other-life'> {
    const args = [id(generation, 'generation'), id(nonce, 'nonce'), whole(seen, 'seen')];
    const call = { script: 'rebuild-begin', tenant, args: [...args, randomUUID()] } as const;
    const { reply } = await this.ledger.run(call);
    if (reply.code === ReplyCode.DONE) return 'begun';
    if (reply.code === ReplyCode.KNOWN) return 'known';
    return otherLife(reply);
  }

  async takeGrant(
    tenant: string,
    grant: Grant,
    nonce?: string,
  ): Promise<'taken' | 'known' | 'lost' | 'other-life'> {
    const args = [
      ...[id(grant.generation, 'generation'), positive(grant.seq, 'seq')],
      ...[whole(grant.bytes, 'bytes'), nonce === undefined ? '' : id(nonce, 'nonce')],
    ];
    const { reply } = await this.ledger.run({ script: 'grant-take', tenant, args });
    if (reply.code === ReplyCode.DONE) return 'taken';
    if (reply.code === ReplyCode.KNOWN) return 'known';
    if (reply.code === ReplyCode.LOST) return 'lost';
    return otherLife(reply);
  }

  async lowerGrant(tenant: string, chunkBytes: number): Promise<Grant | null> {
    const args = [whole(chunkBytes, 'chunkBytes')];
    const { reply } = await this.ledger.run({ script: 'grant-lower', tenant, args });
    if (reply.code === ReplyCode.LOST) return null;
    if (reply.code !== ReplyCode.DONE) throw reply.unexpected();
    return { generation: reply.text(), seq: reply.whole(), bytes: reply.whole() };
  }

  async fold(tenant: string, batch: FoldBatch): Promise<'done' | 'lost' | 'other-life'> {
    const { items } = batch;
    if (items.length > MAX_ITEMS) throw invalid('items', `at most ${String(MAX_ITEMS)}`);
    const args = [
      ...[id(batch.generation, 'generation'), positive(batch.number, 'number')],
      ...[whole(batch.bytes, 'bytes'), whole(batch.unkeyedBytes, 'unkeyedBytes')],
      ...[whole(batch.refundBytes, 'refundBytes'), ...items.flatMap(itemArgs)],
    ];
    const { reply } = await this.ledger.run({ script: 'fold', tenant, args });
    if (reply.code === ReplyCode.DONE) return 'done';
    if (reply.code === ReplyCode.LOST) return 'lost';
    return otherLife(reply);
  }
}

/** @throws GrantShortError when that is what the script has answered. */
export function refuseShort(operation: string, reply: Reply): void {
  if (reply.code !== ReplyCode.GRANT_SHORT) return;
  const wantBytes = reply.whole();
  throw new GrantShortError(operation, wantBytes, reply.whole());
}

function itemArgs({ key, bytes, ttlMs, version }: FoldItem): string[] {
  return [
    ...[parseKey(key), optionalWhole(bytes, 'size')],
    ...[optionalWhole(ttlMs, 'ttlMs'), whole(version, 'version')],
  ];
}

function positive(value: number, where: string): string {
  if (value === 0) throw invalid(where, 'a whole number, at least 1');
  return whole(value, where);
}

function otherLife(reply: Reply): 'other-life' {
  if (reply.code !== ReplyCode.OTHER_LIFE) throw reply.unexpected();
  return 'other-life';
}
