import { randomUUID } from 'node:crypto';
import type { Redis, RedisOptions } from 'ioredis';
import {
  quotaRedisOptions,
  RedisKeys,
  RedisUsageTracker,
  type RedisUsageTrackerOptions,
} from '../../../libs/quota/src/adapters/redis';
import type { QuotaLimits } from '../../../libs/quota/src/core';
import { Scene } from '../../contract/usage-tracker/scene';
import { startRedis, type RedisServer } from '../../support';

export interface Ledger {
  readonly server: RedisServer;
  /** The client of the tracker. */
  readonly client: Redis;
  /** Another connection, for looking from outside. */
  readonly probe: Redis;
  readonly tracker: RedisUsageTracker;
  readonly keys: RedisKeys;
  /** Counts what {@link RedisUsageTrackerOptions.onDefect} was told. */
  defects: number;
  scene(limits?: QuotaLimits): Scene;
}

const running = new Set<RedisServer>();

/** Ends every server that {@link startLedger} started, also those of a test that failed. */
export async function stopLedgers(): Promise<void> {
  await Promise.all([...running].map((server) => server.stop()));
  running.clear();
}

/** A server of its own, a tracker on it, and tenants that nothing has used before. */
export async function startLedger(
  options: { args?: string[]; tracker?: RedisUsageTrackerOptions; client?: RedisOptions } = {},
): Promise<Ledger> {
  const server = await startRedis(options.args ? { args: options.args } : {});
  running.add(server);
  const client = server.client({ ...quotaRedisOptions, ...options.client });
  const probe = server.client();
  await ready(client);
  const ledger: Ledger = {
    server,
    client,
    probe,
    defects: 0,
    keys: new RedisKeys(options.tracker?.prefix),
    tracker: new RedisUsageTracker(client, {
      ...options.tracker,
      onDefect: (_operation, _tenant, count) => (ledger.defects += count),
    }),
    scene: (limits = { quotaBytes: 1_000, hardBytes: 1_000 }) =>
      new Scene(ledger.tracker, `t-${randomUUID()}`, limits),
  };
  return ledger;
}

export async function ready(client: Redis): Promise<void> {
  if (client.status !== 'ready') await new Promise((resolve) => client.once('ready', resolve));
}

/** All keys of the server with their contents, to see that nothing changed. */
export async function dumpAll(probe: Redis): Promise<Record<string, string>> {
  const names = (await probe.keys('*')).toSorted();
  const dumps = await Promise.all(names.map((name) => probe.dumpBuffer(name)));
  return Object.fromEntries(names.map((name, i) => [name, String(dumps[i]?.toString('hex'))]));
}

/** How often each command was carried out while `work` ran, subcommands of scripts left out. */
export async function roundTrips(probe: Redis, work: () => Promise<unknown>): Promise<number> {
  await probe.config('RESETSTAT');
  await work();
  const stats = await probe.info('commandstats');
  const calls = [...stats.matchAll(/^cmdstat_(evalsha|eval|fcall):calls=(\d+)/gm)];
  return calls.reduce((sum, [, , count]) => sum + Number(count), 0);
}
