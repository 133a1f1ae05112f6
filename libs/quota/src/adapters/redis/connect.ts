import { Cluster, Redis } from 'ioredis';
import type { RedisClient } from './redis-calls';
import { quotaClusterOptions, quotaRedisOptions } from './redis-options';
import { parseRedisUrl, type RedisTarget } from './redis-url';

/** A client for what the URL names. It connects when it is told to. @throws RedisUrlError */
export function createRedisClient(url: string): RedisClient {
  const target = parseRedisUrl(url);
  switch (target.kind) {
    case 'single':
      return new Redis(target.url, { ...quotaRedisOptions, lazyConnect: true });
    case 'sentinel':
      return sentinelClient(target);
    case 'cluster':
      return clusterClient(target);
  }
}

function sentinelClient(target: RedisTarget & { kind: 'sentinel' }): Redis {
  const { sentinels, name, db, tls } = target;
  return new Redis({
    ...quotaRedisOptions,
    ...loginOf(target),
    lazyConnect: true,
    sentinels: [...sentinels],
    name,
    db,
    // One that hangs must not keep the others from being asked.
    sentinelCommandTimeout: quotaRedisOptions.connectTimeout,
    sentinelRetryStrategy: quotaRedisOptions.retryStrategy,
    // A failover is heard of when it happens, not only when the old master stops answering.
    failoverDetector: true,
    ...(tls && { tls: {}, sentinelTLS: {}, enableTLSForSentinelMode: true }),
  });
}

function clusterClient(target: RedisTarget & { kind: 'cluster' }): Cluster {
  const { nodes, tls } = target;
  return new Cluster([...nodes], {
    ...quotaClusterOptions,
    lazyConnect: true,
    redisOptions: { ...quotaRedisOptions, ...loginOf(target), ...(tls && { tls: {} }) },
    // Certificates are made out to names; resolved to an address none would fit.
    ...(tls && {
      dnsLookup: (host: string, found: (error: null, address: string) => void) => {
        found(null, host);
      },
    }),
  });
}

function loginOf({ username, password }: { username?: string; password?: string }): {
  username?: string;
  password?: string;
} {
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
  };
}
