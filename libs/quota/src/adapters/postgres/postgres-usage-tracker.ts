import { randomUUID } from 'node:crypto';
import type { DataSource } from 'typeorm';
import {
  InvalidOptionsError,
  UsageTracker,
  type CommitReply,
  type CommitRequest,
  type EntryCorrection,
  type KeyView,
  type LapsedHold,
  type RefundReply,
  type RefundRequest,
  type ReleaseReply,
  type RemoveReply,
  type RemoveRequest,
  type ReserveReply,
  type ReserveRequest,
  type SweepReply,
  type TenantPage,
  type Usage,
} from '../../core';
import {
  duration,
  generationOf,
  id,
  invalid,
  keyBytes,
  optionalDuration,
  optionalKey,
  optionalWhole,
  whole,
} from './ledger-arguments';
import { LedgerCalls, type LedgerCallOptions } from './ledger-calls';
import { must, usageOf, type ReplyOf } from './ledger-replies';
import { LedgerUpkeep } from './ledger-upkeep';

export type PostgresUsageTrackerOptions = LedgerCallOptions;

/**
 * The ledger in PostgreSQL, in the tables and functions of `quotaMigrations`: every operation is one
 * function, one round trip, one short transaction on the tenant's row (docs/ledger.md), which writes
 * of a tenant that wait for their turn share. It keeps no values. A call whose outcome is unknown may be
 * sent again with the same id.
 *
 * The DataSource's pool should have limits; see {@link quotaPostgresOptions}.
 */
export class PostgresUsageTracker extends UsageTracker {
  readonly store = 'postgres';
  private readonly calls: LedgerCalls;
  private readonly upkeep: LedgerUpkeep;

  /** @throws InvalidOptionsError unless the DataSource is one of PostgreSQL. */
  constructor(dataSource: DataSource, options: PostgresUsageTrackerOptions = {}) {
    super();
    if (dataSource.options.type !== 'postgres') {
      throw new InvalidOptionsError([
        `dataSource: must be of type postgres, not ${dataSource.options.type}`,
      ]);
    }
    this.calls = new LedgerCalls(dataSource, options);
    this.upkeep = new LedgerUpkeep(this.calls);
  }

  async reserve(request: ReserveRequest): Promise<ReserveReply> {
    const { tenant } = request;
    const args = [
      ...[id(request.id), ...writeArgs(request)],
      ...[duration(request.holdMs, 'holdMs'), request.keep ?? false],
    ];
    return toVerdict(await this.calls.run('reserve', { tenant, args, id: request.id }, 'again'));
  }

  async check(request: Omit<ReserveRequest, 'id' | 'holdMs'>): Promise<ReserveReply> {
    const { tenant } = request;
    return toVerdict(await this.calls.run('check', { tenant, args: writeArgs(request) }, 'again'));
  }

  async commit(request: CommitRequest): Promise<CommitReply> {
    const { tenant, bytes, limits, enforce, generation, ttlMs, version, value } = request;
    if (value !== undefined) throw invalid('value', 'none: this ledger keeps no values');
    const args = [
      ...[id(request.id), optionalKey(request.key), whole(bytes, 'size')],
      ...[whole(limits.hardBytes, 'hardBytes'), enforce, generationOf(generation)],
      ...[optionalDuration(ttlMs, 'ttlMs'), optionalWhole(version, 'version')],
    ];
    const reply = await this.calls.run('commit', { tenant, args, id: request.id }, 'again');
    if (reply.code === 'bounced') return { outcome: 'bounced' };
    const usage = usageOf(reply);
    if (reply.code === 'refused') return { outcome: 'refused', usage };
    const { expiresAt } = reply;
    const expiring = typeof expiresAt === 'number' ? { expiresAt } : {};
    const replaced = must(reply.replaced, 'replaced');
    return { outcome: 'committed', usage, replaced, ...expiring };
  }

  async release(tenant: string, reservation: string): Promise<ReleaseReply> {
    const args = [id(reservation)];
    const reply = await this.calls.run('release', { tenant, args, id: reservation });
    return { outcome: reply.code === 'released' ? 'released' : 'settled', usage: usageOf(reply) };
  }

  async remove(request: RemoveRequest): Promise<RemoveReply> {
    const { tenant, key, version } = request;
    const args = [id(request.id), keyBytes(key), optionalWhole(version, 'version')];
    const reply = await this.calls.run('remove', { tenant, args, id: request.id });
    const [removed, freed] = [must(reply.removed, 'removed'), must(reply.freed, 'freed')];
    return { removed, freedBytes: freed, usage: usageOf(reply) };
  }

  async refund(request: RefundRequest): Promise<RefundReply> {
    const { tenant, bytes } = request;
    const args = [id(request.id), whole(bytes, 'size')];
    const reply = await this.calls.run('refund', { tenant, args, id: request.id });
    const freedBytes = must(reply.freed, 'freed');
    return { freedBytes, underflowBytes: bytes - freedBytes, usage: usageOf(reply) };
  }

  async read(tenant: string): Promise<Usage> {
    return usageOf(await this.calls.run('read', { tenant, args: [] }, 'more'));
  }

  async sweep(tenant: string, max: number): Promise<SweepReply> {
    const reply = await this.calls.run('sweep', { tenant, args: [whole(max, 'max')] });
    return {
      expiredEntries: reply.expired,
      expiredReservations: reply.overdue,
      freedBytes: reply.freed,
      more: reply.code === 'more',
      lapsed: reply.lapsed,
      unsettled: reply.unsettled,
    };
  }

  async settled(tenant: string, count: number): Promise<number> {
    return (await this.calls.run('settled', { tenant, args: [whole(count, 'count')] })).lowered;
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
    await this.calls.run('drop', { tenant, args: [randomUUID()] });
  }

  async recount(tenant: string): Promise<{ driftBytes: number; usage: Usage }> {
    const reply = await this.calls.run('recount', { tenant, args: [] }, 'more');
    return { driftBytes: must(reply.drift, 'drift'), usage: usageOf(reply) };
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
    return this.upkeep.tenants(cursor, limit, false);
  }

  override due(cursor: string | null, limit: number): Promise<TenantPage> {
    return this.upkeep.tenants(cursor, limit, true);
  }
}

/** The arguments that reserve and check share. */
function writeArgs(request: Omit<ReserveRequest, 'id' | 'holdMs'>): unknown[] {
  const { key, bytes, limits, stamp, enforce } = request;
  const quota = whole(limits.quotaBytes, 'quotaBytes');
  const hard = whole(limits.hardBytes, 'hardBytes');
  if (quota > hard) throw invalid('hardBytes', 'at least quotaBytes');
  return [
    ...[optionalKey(key), whole(bytes, 'size'), quota, hard],
    ...[whole(stamp, 'stamp'), enforce],
  ];
}

function toVerdict(reply: ReplyOf<'reserve'>): ReserveReply {
  if (reply.code === 'stale') return { outcome: 'stale', stamp: must(reply.stamp, 'stamp') };
  const usedAfterBytes = must(reply.usedAfter, 'usedAfter');
  const usage = usageOf(reply);
  if (reply.code === 'rejected') {
    const { retryAfter } = reply;
    const wait = typeof retryAfter === 'number' ? { retryAfterMs: retryAfter } : {};
    return { outcome: 'rejected', usedAfterBytes, usage, ...wait };
  }
  const decision = must(reply.decision, 'decision');
  const generation = must(reply.generation, 'generation');
  return { outcome: 'reserved', decision, usedAfterBytes, usage, generation };
}
