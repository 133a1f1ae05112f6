import { randomUUID } from 'node:crypto';
import { quotaRedisOptions, RedisUsageTracker } from '../../libs/quota/src/adapters/redis';
import { startRedis } from '../support';
import { describeLedgerModel } from './usage-tracker.model';

describeLedgerModel(
  'RedisUsageTracker',
  async () => {
    const server = await startRedis();
    const client = server.client(quotaRedisOptions);
    await new Promise((resolve) => client.once('ready', resolve));
    return {
      tracker: new RedisUsageTracker(client, {
        deadlineMs: 5_000,
        onDefect: (operation, tenant, count) => {
          throw new Error(`${String(count)} sums below zero after ${operation} of ${tenant}`);
        },
      }),
      freshTenant: () => `t-${randomUUID()}`,
      // The server's clock and ours are the same one; a script sees whole milliseconds.
      now: () => performance.now(),
      advance: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      slackMs: 3,
      unitMs: 60,
      close: () => server.stop(),
    };
  },
  { keepsValues: true, runs: 40, timeoutMs: 590_000 },
);
