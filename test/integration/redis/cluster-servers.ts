import type { Redis } from 'ioredis';
import { createServer, type AddressInfo } from 'node:net';
import { startRedis, waitUntil, type RedisServer } from '../../support';

const SLOTS = 16_384;

export interface ClusterServers {
  readonly servers: RedisServer[];
  /** A plain client of each. */
  readonly admins: Redis[];
}

/**
 * Starts a Redis Cluster of three masters that know each other and own a third of the slots each.
 *
 * @param args appended to each server's command line
 */
export async function startCluster(args: readonly string[] = []): Promise<ClusterServers> {
  // The bus would be at port + 10,000, which may not exist.
  const buses = await Promise.all([0, 1, 2].map(async () => String(await freePort())));
  const servers = await Promise.all(
    buses.map((bus) =>
      startRedis({ args: ['--cluster-enabled', 'yes', '--cluster-port', bus, ...args] }),
    ),
  );
  const admins = servers.map((server) => server.client());
  for (const [i, admin] of admins.entries()) {
    const [from, to] = [Math.ceil((SLOTS * i) / 3), Math.ceil((SLOTS * (i + 1)) / 3) - 1];
    await admin.call('CLUSTER', 'ADDSLOTSRANGE', from, to);
    if (i === 0) continue;
    await admin.call('CLUSTER', 'MEET', '127.0.0.1', servers[0]?.port ?? 0, buses[0] ?? '');
  }
  await waitUntil(
    async () => {
      const infos = await Promise.all(admins.map((admin) => admin.cluster('INFO')));
      return infos.every((info) => /cluster_state:ok[^]*known_nodes:3/.test(info));
    },
    { timeoutMs: 20_000 },
  );
  return { servers, admins };
}

/** A replica of one of the masters, in step with it and known to the others. */
export async function addReplica(
  { servers, admins }: ClusterServers,
  of: number,
): Promise<RedisServer> {
  const bus = String(await freePort());
  const args = ['--cluster-enabled', 'yes', '--cluster-port', bus];
  const replica = await startRedis({ args });
  const client = replica.client();
  const id = (await admins[of]?.cluster('MYID')) ?? '';
  const [, seedBus = ''] = /@(\d+) myself/.exec(String(await admins[of]?.cluster('NODES'))) ?? [];
  await client.call('CLUSTER', 'MEET', '127.0.0.1', servers[of]?.port ?? 0, seedBus);
  // Refused until the master is known.
  await waitUntil(async () => (await client.call('CLUSTER', 'REPLICATE', id)) === 'OK');
  await waitUntil(
    async () => {
      const lists = (await Promise.all(admins.map((admin) => admin.cluster('NODES')))) as string[];
      const known = lists.every((list) => new RegExp(`:${replica.port}@\\d+ slave `).test(list));
      return known && (await client.info()).includes('master_link_status:up');
    },
    { timeoutMs: 20_000, what: () => 'the replica to be one' },
  );
  return replica;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => {
        resolve(port);
      });
    });
  });
}
