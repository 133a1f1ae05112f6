import type { Cluster, Redis } from 'ioredis';

export { createRedisClient } from '@app/quota';

/** Any of the ways that Redis is run. */
export type RedisClient = Redis | Cluster;

/** The masters that serve now: one, or all of a Cluster. */
export function mastersOf(client: RedisClient): Redis[] {
  return 'nodes' in client ? client.nodes('master') : [client];
}
