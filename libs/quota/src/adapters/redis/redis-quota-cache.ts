import { setTimeout as pause } from 'node:timers/promises';
import {
  asLossName,
  asRolloutName,
  isByteCount,
  rolloutWordOf,
  SharedQuotaCache,
  type TenantQuota,
} from '../../core';
import { duration, whole } from './arguments';
import { ChangeFeed } from './change-feed';
import { RedisKeys } from './keys';
import { RedisCalls, type RedisClient } from './redis-calls';
import { RedisScripts } from './redis-scripts';

export interface RedisQuotaCacheOptions {
  /** What every key begins with; must be that of the tracker. `quota` unless set. */
  readonly prefix?: string;
  /** Ms after which a call that Redis has not answered fails; 250 unless set. */
  readonly deadlineMs?: number;
}

/** Ms to wait for word that a change of the rollout was heard: an instance may stall, or have gone. */
const HEARD_MS = 500;
const LOOK_EVERY_MS = 4;
const WORD_KEPT_MS = 10_000;

/** Copies of quotas that all instances share, and word of their changes, in Redis. */
export class RedisQuotaCache extends SharedQuotaCache {
  private readonly calls: RedisCalls;
  private readonly scripts: RedisScripts;
  private readonly keys: RedisKeys;

  constructor(client: RedisClient, options: RedisQuotaCacheOptions = {}) {
    super();
    this.calls = new RedisCalls(client, options.deadlineMs);
    this.scripts = new RedisScripts(this.calls);
    this.keys = new RedisKeys(options.prefix);
  }

  async get(tenant: string): Promise<TenantQuota | null> {
    const key = this.keys.config(tenant);
    const text = await this.calls.guard('config-get', () => this.calls.client.get(key));
    return typeof text === 'string' ? parseCopy(text, tenant) : null;
  }

  async put(quota: TenantQuota, ttlMs: number): Promise<void> {
    await this.scripts.run({ script: 'config-put', ...this.copy(quota, ttlMs) });
  }

  async announce(quota: TenantQuota, ttlMs: number): Promise<void> {
    const { keys, args } = this.copy(quota, ttlMs);
    const more = [this.keys.channel, quota.tenant];
    await this.scripts.run({ script: 'config-announce', keys, args: [...args, ...more] });
  }

  override async announceRollout(word: string, version: number): Promise<void> {
    const text = `${whole(version, 'version')} ${asRolloutName(word)}`;
    const [hearers, listening] = await Promise.all([
      this.calls.guard('rollout-announce', () =>
        this.calls.client.publish(this.keys.channel, text),
      ),
      this.listeningAtNodes(),
    ]);
    await this.untilHeard(this.keys.heard(version), Math.max(hearers, listening));
  }

  override async announceLoss(tenant: string): Promise<void> {
    const { client } = this.calls;
    await this.calls.guard('loss-announce', () =>
      client.publish(this.keys.channel, `0 ${asLossName(tenant)}`),
    );
  }

  /**
   * Resolves once the channel is listened to, or after the deadline: then the feed goes on trying,
   * and calls back with `'*'` when it has succeeded.
   */
  subscribe(listener: (tenant: string, stamp: number) => void): Promise<() => Promise<void>> {
    const hear = (tenant: string, stamp: number): void => {
      listener(tenant, stamp);
      if (rolloutWordOf(tenant) !== null) void this.confirm(this.keys.heard(stamp));
    };
    const feed = new ChangeFeed(this.calls.client, this.keys.channel, hear);
    return feed.start(this.calls.deadlineMs);
  }

  /** Whoever announced it waits for this a little; without it, a little longer. */
  private async confirm(key: string): Promise<void> {
    const { client } = this.calls;
    await client
      .pipeline()
      .incr(key)
      .pexpire(key, WORD_KEPT_MS)
      .exec()
      .catch(() => undefined);
  }

  /** In a Cluster a node that publishes counts its own listeners alone; those of one that is away are none. */
  private async listeningAtNodes(): Promise<number> {
    const { client, deadlineMs } = this.calls;
    if (!('nodes' in client)) return 0;
    const counts = client.nodes('all').map(async (node) => {
      const ask = (): Promise<unknown[]> => node.pubsub('NUMSUB', this.keys.channel);
      const found = await new RedisCalls(node, deadlineMs, client)
        .guard('rollout-listeners', ask)
        .catch(() => []);
      return Number(found[1] ?? 0);
    });
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  }

  private async untilHeard(key: string, hearers: number): Promise<void> {
    const end = performance.now() + HEARD_MS;
    while (performance.now() < end) {
      const heard = await this.calls.guard('rollout-heard', () => this.calls.client.get(key));
      if (Number(heard) >= hearers) return;
      await pause(LOOK_EVERY_MS);
    }
  }

  private copy(quota: TenantQuota, ttlMs: number): { keys: string[]; args: string[] } {
    const { tenant, stamp } = quota;
    return {
      keys: [this.keys.config(tenant), this.keys.state(tenant)],
      args: [whole(stamp, 'stamp'), duration(ttlMs, 'ttlMs'), writeCopy(quota)],
    };
  }
}

/** The stamp comes first, where the scripts can read it without parsing the rest. */
function writeCopy(quota: TenantQuota): string {
  const { stamp, tenant, quotaBytes, overageAllowed, overageBytes, mode, origin } = quota;
  return JSON.stringify({
    ...{ stamp, tenant, quotaBytes, overageAllowed, overageBytes, mode, origin },
  });
}

/** A copy that is broken, or another tenant's, is none: the source will be asked. */
function parseCopy(text: string, tenant: string): TenantQuota | null {
  const copy = parseObject(text);
  const { stamp, quotaBytes, overageAllowed, overageBytes, mode, origin } = copy;
  const usable =
    copy['tenant'] === tenant &&
    isByteCount(stamp) &&
    isByteCount(quotaBytes) &&
    isByteCount(overageBytes) &&
    isByteCount(quotaBytes + overageBytes) &&
    typeof overageAllowed === 'boolean' &&
    (mode === null || mode === 'off' || mode === 'shadow' || mode === 'enforce') &&
    (origin === 'tenant' || origin === 'default');
  if (!usable) return null;
  return { tenant, quotaBytes, overageAllowed, overageBytes, mode, stamp, origin };
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
