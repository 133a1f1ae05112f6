import { randomUUID } from 'node:crypto';
import type { RedisOptions } from 'ioredis';
import { quotaRedisOptions, RedisUsageTracker } from '../../libs/quota/src/adapters/redis';
import { startRedis } from '../support';
import { GenerousRedisTracker } from './generous-bank';
import { describeUsageTracker } from './usage-tracker.contract';

describe.each<[string, RedisOptions, string, boolean]>([
  ['with the recommended options', {}, 'quota', false],
  [
    'with a key prefix and pipelines',
    { keyPrefix: 'app:', enableAutoPipelining: true },
    'q:x',
    false,
  ],
  ['under a bank', {}, 'quota', true],
])('%s', (_name, options, prefix, bank) => {
  describeUsageTracker('RedisUsageTracker', async () => {
    const server = await startRedis();
    const client = server.client({ ...quotaRedisOptions, ...options });
    const probe = server.client();
    await new Promise((resolve) => client.once('ready', resolve));
    const base = (tenant: string): string => `${options.keyPrefix ?? ''}${prefix}:{${tenant}}`;
    const Tracker = bank ? GenerousRedisTracker : RedisUsageTracker;
    return {
      tracker: new Tracker(client, {
        prefix,
        bank,
        deadlineMs: 5_000,
        onDefect: (operation, tenant, count) => {
          throw new Error(`${String(count)} sums below zero after ${operation} of ${tenant}`);
        },
      }),
      freshTenant: () => `t-${randomUUID()}`,
      hasState: async (tenant) => (await probe.keys(`${base(tenant)}:*`)).length > 0,
      skewCommitted: async (tenant, delta) => {
        await probe.hincrby(`${base(tenant)}:s`, 'c', delta);
      },
      close: () => server.stop(),
    };
  });
});
