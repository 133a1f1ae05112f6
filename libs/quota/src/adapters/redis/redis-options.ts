import type { ClusterOptions, RedisOptions } from 'ioredis';

const FIRST_PAUSE_MS = 50;
/** Short, so that a client is back well within a second of its server; see core/breaker.ts. */
const LONGEST_PAUSE_MS = 600;

/**
 * What a client should be told, as options of `new Redis(url, quotaRedisOptions)`. With ioredis'
 * defaults an unanswered command is sent again after a reconnect (one INCRBY 10 became 20), and
 * commands wait in a queue for a server that is away. The library keeps deadlines and repeats
 * itself, knowing what may be repeated.
 */
export const quotaRedisOptions = {
  /** Without a connection a command fails at once, and is known not to have been sent. */
  enableOfflineQueue: false,
  /** Nothing is sent again behind our back. */
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  /** A server that takes connections but loads its data is not ready. */
  enableReadyCheck: true,
  connectTimeout: 2_000,
  // No socketTimeout: in 5.11 its timer outlives the connection and then drops the next one. The
  // adapter drops a connection that has gone silent itself. No commandTimeout: see redis-calls.ts.
  keepAlive: 10_000,
  /** Jittered, so that a thousand instances don't come back in one moment. */
  retryStrategy: (times: number): number => {
    const longest = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(times - 1, 10), LONGEST_PAUSE_MS);
    return Math.round(longest * (0.5 + Math.random() / 2));
  },
  /** After a failover the name may lead to the new master; the command itself is not sent again. */
  reconnectOnError: (error: Error): boolean => error.message.startsWith('READONLY'),
} as const satisfies RedisOptions;

/**
 * The same for a Cluster: `new Cluster(nodes, quotaClusterOptions)`. A Cluster of ioredis sends a
 * command again when its node was lost or the slot is elsewhere; all of the library's may be sent
 * twice, and its deadline ends the waiting.
 */
export const quotaClusterOptions = {
  redisOptions: quotaRedisOptions,
  enableOfflineQueue: false,
  clusterRetryStrategy: quotaRedisOptions.retryStrategy,
  /** A slot arrives in some ms. */
  retryDelayOnTryAgain: 10,
} as const satisfies ClusterOptions;
