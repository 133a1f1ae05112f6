import { randomUUID } from 'node:crypto';
import {
  MAX_BYTES,
  parseKey,
  QuotaUnavailableError,
  ValueTracker,
  type CommitReply,
  type CommitRequest,
  type EntryCorrection,
  type FoldBatch,
  type Grant,
  type GrantedLedger,
  type KeyView,
  type LapsedHold,
  type LedgerStanding,
  type RefundReply,
  type RefundRequest,
  type ReleaseReply,
  type RemoveReply,
  type RemoveRequest,
  type ReserveReply,
  type ReserveRequest,
  type StoredValue,
  type SweepReply,
  type TenantPage,
  type Usage,
} from '../../core';
import {
  duration,
  flag,
  id,
  keyed,
  optionalDuration,
  optionalWhole,
  valueParts,
  whole,
} from './arguments';
import { LedgerGrants, refuseShort } from './grants';
import { RedisKeys } from './keys';
import { LedgerScripts, type DefectListener } from './ledger-scripts';
import { LedgerUpkeep } from './ledger-upkeep';
import { RedisCalls, type RedisClient } from './redis-calls';
import { RedisScripts } from './redis-scripts';
import { refuseUndecided, ReplyCode } from './replies';
import { TenantListing } from './tenant-listing';
import { SMALL_VALUE_BYTES } from './value-lane';

export interface RedisUsageTrackerOptions {
  /** What every key begins with; `quota` unless set. */
  readonly prefix?: string;
  /** Ms after which a call that Redis has not answered fails; 250 unless set. */
  readonly deadlineMs?: number;
  readonly onDefect?: DefectListener;
  /**
   * Enforcing writes go no further than what a bank has granted; beyond it `reserve` and `commit`
   * throw {@link GrantShortError}. Every instance must say the same; false unless set.
   */
  readonly bank?: boolean;
}

/**
 * The ledger in Redis: every operation is one script, one round trip, on the keys of one slot
 * (docs/ledger.md; the layout of the keys is in scripts/include). Values can be kept beside it, and a
 * bank above it.
 */
export class RedisUsageTracker extends ValueTracker implements GrantedLedger {
  readonly store = 'redis';
  private readonly ledger: LedgerScripts;
  private readonly upkeep: LedgerUpkeep;
  private readonly listing: TenantListing;
  private readonly grants: LedgerGrants;
  private readonly bank: string;

  /** @param client any client of ioredis; see {@link quotaRedisOptions} for what it should be told. */
  constructor(client: RedisClient, options: RedisUsageTrackerOptions = {}) {
    super();
    const scripts = new RedisScripts(new RedisCalls(client, options.deadlineMs));
    const keys = new RedisKeys(options.prefix);
    this.ledger = new LedgerScripts(scripts, keys, options.onDefect);
    this.listing = new TenantListing(scripts.calls, keys);
    this.upkeep = new LedgerUpkeep(this.ledger);
    this.grants = new LedgerGrants(this.ledger);
    this.bank = flag(options.bank ?? false);
  }

  async reserve(request: ReserveRequest): Promise<ReserveReply> {
    const args = [id(request.id), ...writeArgs(request), duration(request.holdMs, 'holdMs')];
    args.push(this.bank, flag(request.keep ?? false));
    return this.decide('reserve', request.tenant, args, request.id);
  }

  async check(request: Omit<ReserveRequest, 'id' | 'holdMs'>): Promise<ReserveReply> {
    return this.decide('check', request.tenant, ['-', ...writeArgs(request)]);
  }

  async commit(request: CommitRequest): Promise<CommitReply> {
    const { tenant, bytes, limits, enforce, generation, ttlMs, version, value } = request;
    const args = [
      ...[id(request.id), ...keyed(request.key), whole(bytes, 'size')],
      ...[whole(limits.hardBytes, 'hardBytes'), flag(enforce), generation],
      ...[optionalDuration(ttlMs, 'ttlMs'), optionalWhole(version, 'version')],
      ...[flag(value !== undefined), ...(value === undefined ? ['', ''] : valueParts(value))],
      this.bank,
    ];
    const valueBytes = value?.body.length ?? 0;
    const call = { script: 'commit', tenant, args, id: request.id, valueBytes } as const;
    const { reply, usage } = await this.ledger.run(call, ReplyCode.AGAIN);
    if (reply.code === ReplyCode.BOUNCED) return { outcome: 'bounced' };
    if (reply.code === ReplyCode.REFUSED) return { outcome: 'refused', usage };
    refuseUndecided('commit', reply);
    refuseShort('commit', reply);
    if (reply.code !== ReplyCode.COMMITTED) throw reply.unexpected();
    return { outcome: 'committed', usage, replaced: reply.flag(), ...expiring(reply.expiry()) };
  }

  async release(tenant: string, reservation: string): Promise<ReleaseReply> {
    const call = { script: 'release', tenant, args: [id(reservation)], id: reservation } as const;
    const { reply, usage } = await this.ledger.run(call);
    return { outcome: reply.code === ReplyCode.RELEASED ? 'released' : 'settled', usage };
  }

  async remove(request: RemoveRequest): Promise<RemoveReply> {
    const { tenant, key, version } = request;
    const args = [id(request.id), '1', parseKey(key), optionalWhole(version, 'version')];
    const { reply, usage } = await this.ledger.run({
      script: 'remove',
      tenant,
      args,
      id: request.id,
    });
    return { removed: reply.flag(), freedBytes: reply.whole(), usage };
  }

  async refund(request: RefundRequest): Promise<RefundReply> {
    const args = [id(request.id), whole(request.bytes, 'size')];
    const { tenant } = request;
    const call = { script: 'refund', tenant, args, id: request.id } as const;
    const { reply, usage } = await this.ledger.run(call);
    return { freedBytes: reply.whole(), underflowBytes: reply.whole(), usage };
  }

  async read(tenant: string): Promise<Usage> {
    return (await this.ledger.run({ script: 'read', tenant, args: [] }, ReplyCode.MORE)).usage;
  }

  async sweep(tenant: string, max: number): Promise<SweepReply> {
    const args = [whole(max, 'max')];
    const { reply } = await this.ledger.run({ script: 'sweep', tenant, args });
    return {
      expiredEntries: reply.whole(),
      expiredReservations: reply.whole(),
      freedBytes: reply.whole(),
      more: reply.code === ReplyCode.MORE,
      lapsed: reply.flag(),
      unsettled: reply.whole(),
    };
  }

  async settled(tenant: string, count: number): Promise<number> {
    const args = [whole(count, 'count')];
    return (await this.ledger.run({ script: 'settled', tenant, args })).reply.whole();
  }

  lapsed(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ holds: LapsedHold[]; next: string | null }> {
    return this.upkeep.lapsed(tenant, cursor, limit);
  }

  letGo(tenant: string, ids: readonly string[]): Promise<number> {
    return this.upkeep.letGo(tenant, ids);
  }

  async drop(tenant: string): Promise<void> {
    await this.ledger.run({ script: 'drop', tenant, args: [randomUUID()] });
  }

  recount(tenant: string): Promise<{ driftBytes: number; usage: Usage }> {
    return this.upkeep.recount(tenant);
  }

  entries(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ entries: KeyView[]; next: string | null }> {
    return this.upkeep.entries(tenant, cursor, limit);
  }

  lookup(tenant: string, keys: readonly string[]): Promise<KeyView[]> {
    return this.upkeep.lookup(tenant, keys);
  }

  correct(
    tenant: string,
    corrections: readonly EntryCorrection[],
  ): Promise<{ applied: number; deltaBytes: number }> {
    return this.upkeep.correct(tenant, corrections);
  }

  tenants(cursor: string | null, limit: number): Promise<TenantPage> {
    return this.listing.page(cursor, limit, false);
  }

  override due(cursor: string | null, limit: number): Promise<TenantPage> {
    return this.listing.page(cursor, limit, true);
  }

  ledgerStanding(tenant: string): Promise<LedgerStanding> {
    return this.grants.ledgerStanding(tenant);
  }

  beginRebuild(
    tenant: string,
    generation: string,
    nonce: string,
    seen: number,
  ): ReturnType<GrantedLedger['beginRebuild']> {
    return this.grants.beginRebuild(tenant, generation, nonce, seen);
  }

  lowerGrant(tenant: string, chunkBytes: number): ReturnType<GrantedLedger['lowerGrant']> {
    return this.grants.lowerGrant(tenant, chunkBytes);
  }

  takeGrant(tenant: string, grant: Grant, nonce?: string): ReturnType<GrantedLedger['takeGrant']> {
    return this.grants.takeGrant(tenant, grant, nonce);
  }

  fold(tenant: string, batch: FoldBatch): ReturnType<GrantedLedger['fold']> {
    return this.grants.fold(tenant, batch);
  }

  async getValue(
    tenant: string,
    key: string,
  ): Promise<{ value: (StoredValue & { expiresAt?: number }) | null; usage: Usage }> {
    const found = await this.fetchValue(tenant, key, SMALL_VALUE_BYTES);
    if (typeof found !== 'number') return found;
    // A large one, or one that took its place since, comes by the way for such.
    const large = await this.fetchValue(tenant, key, MAX_BYTES, found);
    if (typeof large !== 'number') return large;
    throw new QuotaUnavailableError('value-get', { applied: 'no', contact: 'answered' });
  }

  /** A value of at most `inline` bytes; of a larger one, its size. */
  private async fetchValue(
    tenant: string,
    key: string,
    inline: number,
    valueBytes = 0,
  ): Promise<Awaited<ReturnType<ValueTracker['getValue']>> | number> {
    const args = ['1', parseKey(key), whole(inline, 'inline')];
    const call = { script: 'value-get', tenant, args, binary: true, valueBytes } as const;
    const { reply, usage } = await this.ledger.run(call);
    if (reply.ended()) return { value: null, usage };
    const expiresAt = reply.expiry();
    const meta = reply.text();
    const size = reply.whole();
    if (reply.ended()) return size;
    return { value: { body: reply.bytes(), meta, ...expiring(expiresAt) }, usage };
  }

  async putUnmetered(
    request: Parameters<ValueTracker['putUnmetered']>[0],
  ): ReturnType<ValueTracker['putUnmetered']> {
    const { tenant, key, value, ttlMs, stamp } = request;
    const args = [
      ...[id(request.id), '1', parseKey(key), whole(stamp, 'stamp')],
      ...[optionalDuration(ttlMs, 'ttlMs'), ...valueParts(value)],
    ];
    const valueBytes = value.body.length;
    const script = 'value-put-unmetered';
    const call = { script, tenant, args, id: request.id, valueBytes } as const;
    const { reply, usage } = await this.ledger.run(call);
    if (reply.code === ReplyCode.STALE) return { outcome: 'stale', stamp: reply.whole() };
    if (reply.code !== ReplyCode.COMMITTED) throw reply.unexpected();
    return { outcome: 'stored', replaced: reply.flag(), ...expiring(reply.expiry()), usage };
  }

  private async decide(
    script: 'reserve' | 'check',
    tenant: string,
    args: string[],
    reservation?: string,
  ): Promise<ReserveReply> {
    const call = { script, tenant, args, ...(reservation !== undefined && { id: reservation }) };
    const { reply, usage } = await this.ledger.run(call, ReplyCode.AGAIN);
    if (reply.code === ReplyCode.STALE) return { outcome: 'stale', stamp: reply.whole() };
    refuseUndecided(script, reply);
    refuseShort(script, reply);
    const usedAfterBytes = reply.whole();
    if (reply.code === ReplyCode.REJECTED) {
      const retryAfterMs = reply.optional();
      const wait = retryAfterMs === undefined ? {} : { retryAfterMs };
      return { outcome: 'rejected', usedAfterBytes, usage, ...wait };
    }
    if (reply.code !== ReplyCode.RESERVED) throw reply.unexpected();
    const decision = reply.decision();
    const generation = reply.text();
    const grownBytes = reply.ended() ? undefined : reply.optional();
    return {
      ...{ outcome: 'reserved', decision, usedAfterBytes, usage, generation },
      ...(grownBytes !== undefined && { grownBytes }),
    };
  }
}

/** The arguments that reserve and check share, in the order of include/write-args.lua. */
function writeArgs(request: Omit<ReserveRequest, 'id' | 'holdMs'>): string[] {
  return [
    ...[...keyed(request.key), whole(request.bytes, 'size')],
    ...[
      whole(request.limits.quotaBytes, 'quotaBytes'),
      whole(request.limits.hardBytes, 'hardBytes'),
    ],
    ...[whole(request.stamp, 'stamp'), flag(request.enforce)],
  ];
}

function expiring(expiresAt: number | undefined): { expiresAt?: number } {
  return expiresAt === undefined ? {} : { expiresAt };
}
