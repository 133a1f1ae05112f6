import type { Redis } from 'ioredis';
import { TENANT_ID_PATTERN, type TenantPage } from '../../core';
import { flag, invalid, whole } from './arguments';
import type { RedisKeys } from './keys';
import { RedisCalls, type RedisClient } from './redis-calls';
import { RedisScripts } from './redis-scripts';
import { Reply } from './replies';

interface Master {
  /** `host:port` in a cluster; empty outside of one. */
  readonly name: string;
  readonly client: RedisClient;
}

/** Finds the tenants by their keys, one node after the other. A cursor is `node/cursor of its SCAN`. */
export class TenantListing {
  constructor(
    private readonly calls: RedisCalls,
    private readonly keys: RedisKeys,
  ) {}

  async page(cursor: string | null, limit: number, onlyDue: boolean): Promise<TenantPage> {
    const count = whole(limit, 'limit');
    const [, node = '', at = '0'] = /^(.*)\/(\d{1,20})$/.exec(cursor ?? '/0') ?? [];
    if (cursor !== null && !/^.*\/\d{1,20}$/.test(cursor)) {
      throw invalid('cursor', 'null, or the `next` of the page before');
    }
    const masters = this.masters();
    // A node that has gone meanwhile: on with the one after it.
    const index = masters.findIndex(({ name }) => name >= node);
    const master = masters[index];
    if (master === undefined) return { tenants: [], next: null };
    const prefix = this.calls.client.options.keyPrefix ?? '';
    const reply = await this.ask(master, [
      ...[master.name === node ? at : '0', escapeGlob(prefix) + this.keys.everyState],
      ...[count, flag(onlyDue)],
    ]);
    const next = reply.text();
    const tenants: string[] = [];
    while (!reply.ended()) {
      const tenant = this.keys.tenantOf(reply.text().slice(prefix.length));
      if (tenant !== null && TENANT_ID_PATTERN.test(tenant)) tenants.push(tenant);
    }
    if (next !== '0') return { tenants, next: `${master.name}/${next}` };
    const following = masters[index + 1];
    return { tenants, next: following === undefined ? null : `${following.name}/0` };
  }

  private async ask({ client }: Master, args: string[]): Promise<Reply> {
    const calls = new RedisCalls(client, this.calls.deadlineMs, this.calls.client);
    const raw = await new RedisScripts(calls).run({ script: 'tenants', keys: [], args });
    return new Reply('tenants', raw);
  }

  private masters(): Master[] {
    const { client } = this.calls;
    if (!('nodes' in client)) return [{ name: '', client }];
    return client
      .nodes('master')
      .map((node) => ({ name: addressOf(node), client: node }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }
}

function addressOf({ options }: Redis): string {
  return `${options.host ?? ''}:${String(options.port)}`;
}

function escapeGlob(text: string): string {
  return text.replace(/[\\*?[\]^-]/g, '\\$&');
}
