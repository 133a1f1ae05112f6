import { randomUUID } from 'node:crypto';
import { UpkeepLease, type HeldLease } from '../../core';
import { RedisKeys } from './keys';
import { RedisCalls, type RedisClient } from './redis-calls';
import { RedisScripts } from './redis-scripts';

/**
 * Leases among all instances on one Redis. A failover may forget one; what is done under it does not
 * rely on it.
 */
export class RedisLease extends UpkeepLease {
  private readonly scripts: RedisScripts;
  private readonly keys: RedisKeys;

  constructor(client: RedisClient, options: { prefix?: string; deadlineMs?: number } = {}) {
    super();
    this.scripts = new RedisScripts(new RedisCalls(client, options.deadlineMs));
    this.keys = new RedisKeys(options.prefix);
  }

  async take(name: string, ms: number): Promise<HeldLease | null> {
    const token = randomUUID();
    if (!(await this.ask(name, token, ms))) return null;
    return {
      // When nobody can say, it is not ours: better stop than go on beside somebody else.
      keep: (more) => this.ask(name, token, more).catch(() => false),
      release: async () => {
        await this.ask(name, token, 0);
      },
    };
  }

  private async ask(name: string, token: string, ms: number): Promise<boolean> {
    const keys = [this.keys.lease(name)];
    return (await this.scripts.run({ script: 'lease', keys, args: [token, String(ms)] })) === 1;
  }
}
