import { randomUUID } from 'node:crypto';
import {
  parseKey,
  QuotaUnavailableError,
  type EntryCorrection,
  type KeyView,
  type LapsedHold,
  type Usage,
} from '../../core';
import { id, invalid, optionalWhole, whole } from './arguments';
import type { LedgerScripts } from './ledger-scripts';
import { ReplyCode, type Reply } from './replies';

/** Entries a script looks at in one call; a page takes Redis about a millisecond. */
const PAGE = 500;

/** A recount that finds its ground moved so often reports instead of trying on. */
const MAX_RESTARTS = 5;

/** The operations that walk entries, page by page, so that no other tenant waits for them. */
export class LedgerUpkeep {
  constructor(private readonly ledger: LedgerScripts) {}

  /**
   * Two at once drive the same count and give the same answer; one left behind by a process that
   * died is gone on with. See scripts/recount-page.lua.
   */
  async recount(tenant: string): Promise<{ driftBytes: number; usage: Usage }> {
    let session = 0;
    for (let restarts = 0; restarts <= MAX_RESTARTS;) {
      const args = [String(session), String(PAGE)];
      const { reply, usage } = await this.ledger.run({ script: 'recount-page', tenant, args });
      if (reply.code === ReplyCode.DONE) return { driftBytes: reply.signed(), usage };
      if (reply.code !== ReplyCode.MORE) throw reply.unexpected();
      session = reply.whole();
      if (reply.flag()) restarts += 1;
    }
    const cause = new Error('The entries counted never came to be those that are there.');
    throw new QuotaUnavailableError('recount', { applied: 'no', cause, contact: 'answered' });
  }

  async entries(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ entries: KeyView[]; next: string | null }> {
    if (cursor !== null && !/^\d{1,20}$/.test(cursor)) {
      throw invalid('cursor', 'null, or the `next` of the page before');
    }
    const args = [cursor ?? '0', whole(limit, 'limit')];
    const reply = await this.ledger.raw({ script: 'entries', tenant, args });
    const next = reply.text();
    return { entries: readViews(reply), next: next === '0' ? null : next };
  }

  async lookup(tenant: string, keys: readonly string[]): Promise<KeyView[]> {
    const views: KeyView[] = [];
    for (let from = 0; from < keys.length; from += PAGE) {
      const args = keys.slice(from, from + PAGE).map(parseKey);
      const { reply } = await this.ledger.run({ script: 'lookup', tenant, args });
      views.push(...readViews(reply));
    }
    return views;
  }

  async lapsed(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ holds: LapsedHold[]; next: string | null }> {
    if (cursor !== null && !/^\d{1,16}$/.test(cursor)) {
      throw invalid('cursor', 'null, or the `next` of the page before');
    }
    const args = [cursor ?? '0', whole(limit, 'limit')];
    const reply = await this.ledger.raw({ script: 'lapsed', tenant, args });
    const next = reply.text();
    const holds: LapsedHold[] = [];
    while (!reply.ended()) {
      holds.push({ id: reply.text(), key: reply.text(), bytes: reply.whole() });
    }
    return { holds, next: next === '0' ? null : next };
  }

  async letGo(tenant: string, ids: readonly string[]): Promise<number> {
    let gone = 0;
    for (let from = 0; from < ids.length; from += PAGE) {
      const args = ids.slice(from, from + PAGE).map((each) => id(each));
      gone += (await this.ledger.run({ script: 'let-go', tenant, args })).reply.whole();
    }
    return gone;
  }

  async correct(
    tenant: string,
    corrections: readonly EntryCorrection[],
  ): Promise<{ applied: number; deltaBytes: number }> {
    const total = { applied: 0, deltaBytes: 0 };
    const all = corrections.map(correctionArgs);
    for (let from = 0; from < all.length; from += PAGE) {
      const args = [randomUUID(), ...all.slice(from, from + PAGE).flat()];
      const { reply } = await this.ledger.run({ script: 'correct', tenant, args });
      total.applied += reply.whole();
      total.deltaBytes += reply.signed();
    }
    return total;
  }
}

function correctionArgs({ key, bytes, expiresAt, version, seen }: EntryCorrection): string[] {
  return [
    ...[parseKey(key), optionalWhole(bytes, 'size')],
    ...[optionalWhole(expiresAt, 'expiresAt'), optionalWhole(version, 'version')],
    ...[optionalWhole(seen?.bytes, 'seen.bytes'), optionalWhole(seen?.version, 'seen.version')],
    optionalWhole(seen?.written, 'seen.written'),
  ];
}

function readViews(reply: Reply): KeyView[] {
  const views: KeyView[] = [];
  while (!reply.ended()) {
    const key = reply.text();
    const bytes = reply.optional();
    const expiry = reply.optional();
    const version = reply.optional();
    const written = reply.optional();
    const pending = reply.flag();
    const expiring = expiry === undefined || expiry === 0 ? {} : { expiresAt: expiry };
    const order = written === undefined || written === 0 ? {} : { written };
    const entry =
      bytes === undefined ? null : { bytes, version: version ?? 0, ...expiring, ...order };
    views.push({ key, entry, pending });
  }
  return views;
}
