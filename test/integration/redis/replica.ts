import { startRedis, waitUntil, type RedisServer } from '../../support';
import { startProxy, type Proxy } from './proxy';

export interface Replicated {
  readonly master: RedisServer;
  readonly replica: RedisServer;
  /** What the replica hears of the master comes through it. */
  readonly link: Proxy;
  /** The replica has all that the master has said so far. */
  inStep(): Promise<void>;
  stop(): Promise<void>;
}

/** A master, and a replica whose link to it can be cut. */
export async function startReplicated(): Promise<Replicated> {
  const master = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
  const link = await startProxy(master.port);
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(link.port)] });
  const [one, other] = [master.client(), replica.client()];
  const inStep = async (): Promise<void> => {
    const said = Number(/master_repl_offset:(\d+)/.exec(await one.info('replication'))?.[1]);
    await waitUntil(async () => {
      const info = await other.info('replication');
      const heard = Number(/slave_repl_offset:(\d+)/.exec(info)?.[1]);
      return info.includes('master_link_status:up') && heard >= said;
    });
  };
  await inStep();
  const stop = async (): Promise<void> => {
    await Promise.all([master.stop(), replica.stop(), link.close()]);
  };
  return { master, replica, link, inStep, stop };
}
