import type { Redis } from 'ioredis';
import type { LedgerWatch, ServerSigns } from '../../core';
import type { RedisClient } from './redis-calls';

/** A server that did not say who it is is asked again after so many ms. */
const AGAIN_MS = 1_000;

/**
 * Finds out when another server answers in the place of one before: after a failover, or a restart
 * from what was saved, the data are there and may lack the latest writes. Every master is asked who it
 * is when a connection to it is new, and in a Cluster when it has become one.
 *
 * What was there when the watch began is taken for granted: nobody can say what came before.
 */
export class ServerWatch implements LedgerWatch {
  private readonly known = new Set<string>();
  /** Connections whose server has said who it is, or is being asked. */
  private asked = new WeakSet<RedisClient>();
  private readonly timers = new Set<NodeJS.Timeout>();
  private begun: Promise<void> | undefined;
  private signs: ServerSigns | undefined;

  constructor(private readonly client: RedisClient) {}

  start(signs: ServerSigns): void {
    this.signs = signs;
    this.client.on('ready', this.onReady).on('refresh', this.look).on('+node', this.onNode);
    if (this.client.status === 'ready') this.look();
  }

  stop(): void {
    this.signs = undefined;
    this.client.off('ready', this.onReady).off('refresh', this.look).off('+node', this.onNode);
    for (const timer of this.timers) clearTimeout(timer);
  }

  private readonly onReady = (): void => {
    this.asked.delete(this.client);
    this.look();
  };

  /** Of a Cluster, whose connections come and go under it, and may come back by themselves. */
  private readonly onNode = (node: Redis): void => {
    node.on('ready', () => {
      this.asked.delete(node);
      this.look();
    });
  };

  /** The first look is over before another begins, so that it is clear who was there. */
  private readonly look = (): void => {
    if (this.begun === undefined) this.begun = this.askAll();
    else void this.begun.then(() => this.askAll());
  };

  private async askAll(): Promise<void> {
    if (this.signs === undefined) return;
    const { client } = this;
    const masters = 'nodes' in client ? client.nodes('master') : [client];
    // They may become masters again on the same connection.
    if ('nodes' in client) for (const node of client.nodes('slave')) this.asked.delete(node);
    const fresh = masters.filter((master) => !this.asked.has(master));
    for (const master of fresh) this.asked.add(master);
    const before = this.known.size;
    const found = await Promise.all(fresh.map((master) => this.identityOf(master)));
    for (const identity of found) {
      if (identity === undefined || this.known.has(identity)) continue;
      this.known.add(identity);
      if (before > 0) this.tell(identity);
    }
  }

  /** Not when it was stopped meanwhile. */
  private tell(identity: string): void {
    this.signs?.changed(identity);
  }

  /**
   * A restart has another run id, a replica that was promoted another replication id: that one alone
   * tells when a server is master for the second time.
   */
  private async identityOf(master: Redis): Promise<string | undefined> {
    const info = await master.info().catch(() => '');
    const [, runId] = /^run_id:(\w+)/m.exec(info) ?? [];
    const [, history] = /^master_replid:(\w+)/m.exec(info) ?? [];
    const isMaster = /^role:master/m.test(info);
    if (isMaster && runId !== undefined && history !== undefined) return `${runId}.${history}`;
    this.asked.delete(master);
    this.askAgain();
    return undefined;
  }

  /** In a second; a new connection comes first, when that was lost. */
  private askAgain(): void {
    if (this.signs === undefined || this.timers.size > 0) return;
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      if (this.client.status === 'ready') this.look();
    }, AGAIN_MS).unref();
    this.timers.add(timer);
  }
}
