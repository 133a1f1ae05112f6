import { Redis } from 'ioredis';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRedis, waitUntil, type RedisServer } from '../../support';
import { ServerProcess, withFreePort } from '../../support/server-process';

export const MASTER_NAME = 'mymaster';

export interface SentinelServers {
  readonly master: RedisServer;
  readonly replica: RedisServer;
  readonly sentinels: readonly { host: string; port: number }[];
  /** Where the Sentinels say the master is. */
  masterPort(): Promise<number>;
  stop(): Promise<void>;
}

/** A master with a replica, and three Sentinels of which two must agree that it is gone, after 1 s. */
export async function startSentinels(): Promise<SentinelServers> {
  const master = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(master.port)] });
  await waitUntil(async () => (await replica.client().info()).includes('master_link_status:up'));
  const processes: ServerProcess[] = [];
  const ports = await Promise.all(
    [1, 2, 3].map(() => withFreePort((port) => startSentinel(port, master.port, processes))),
  );
  const asking = ports.map((port) => new Redis({ port, enableReadyCheck: false }));
  for (const client of asking) client.on('error', () => undefined);
  const allKnown = async (): Promise<boolean> => {
    const infos = await Promise.all(asking.map((client) => client.info('sentinel')));
    return infos.every(
      (info) => info.includes('status=ok') && info.includes('slaves=1,sentinels=3'),
    );
  };
  await waitUntil(allKnown, { timeoutMs: 20_000, what: () => 'the Sentinels to know each other' });
  return {
    ...{ master, replica },
    sentinels: ports.map((port) => ({ host: '127.0.0.1', port })),
    masterPort: async () => {
      const found = await asking[0]?.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER_NAME);
      return Number((found as string[])[1]);
    },
    stop: async () => {
      for (const client of asking) client.disconnect();
      await Promise.all(processes.map((process) => process.dispose()));
      await Promise.all([master.stop(), replica.stop()]);
    },
  };
}

async function startSentinel(
  port: number,
  masterPort: number,
  processes: ServerProcess[],
): Promise<number> {
  const dir = await mkdtemp(join(tmpdir(), 'quota-sentinel-'));
  const file = join(dir, 'sentinel.conf');
  const lines = [
    ...[`port ${port}`, 'bind 127.0.0.1', `dir ${dir}`],
    `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${masterPort} 2`,
    `sentinel down-after-milliseconds ${MASTER_NAME} 1000`,
    `sentinel failover-timeout ${MASTER_NAME} 3000`,
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
  const process = new ServerProcess({
    command: globalThis.process.env['REDIS_SERVER_BIN'] ?? 'redis-server',
    args: [file, '--sentinel'],
    dir,
    isReady: (pid) => answersAs(port, pid),
  });
  try {
    await process.start();
  } catch (error) {
    await process.dispose();
    throw error;
  }
  processes.push(process);
  return port;
}

async function answersAs(port: number, pid: number): Promise<boolean> {
  const probe = new Redis({
    ...{ port, lazyConnect: true, retryStrategy: null },
    ...{ enableReadyCheck: false, maxRetriesPerRequest: 0 },
  });
  probe.on('error', () => undefined);
  try {
    await probe.connect();
    return (await probe.info('server')).includes(`process_id:${pid}\r`);
  } finally {
    probe.disconnect();
  }
}
