import { waitUntil } from '../../support';
import type { ClusterServers } from './cluster-servers';

/** Moves slots between the three masters of a Cluster, as an operator's tool does: key by key. */
export class SlotMoves {
  constructor(private readonly nodes: ClusterServers) {}

  /** Number of the master that owns the key's slot. */
  async ownerOf(key: string, according = 0): Promise<number> {
    const { servers, admins } = this.nodes;
    const slot = await this.slotOf(key);
    const ranges = await admins[according]!.cluster('SLOTS');
    const port = ranges.find(([from, to]) => from <= slot && slot <= to)?.[2]?.[1];
    return servers.findIndex((server) => server.port === port);
  }

  async begin(key: string, from: number, to: number): Promise<void> {
    const { admins } = this.nodes;
    const slot = await this.slotOf(key);
    await admins[to]?.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', await this.idOf(from));
    await admins[from]?.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', await this.idOf(to));
  }

  /** Two keys at a time, so that a script finds some of its keys here and some there. */
  async finish(key: string, from: number, to: number): Promise<void> {
    const { servers, admins } = this.nodes;
    const slot = await this.slotOf(key);
    for (;;) {
      const found = (await admins[from]?.call('CLUSTER', 'GETKEYSINSLOT', slot, 2)) as string[];
      if (found.length === 0) break;
      const target = servers[to]!;
      const rest = ['', 0, 5_000, 'KEYS', ...found] as const;
      await admins[from]?.call('MIGRATE', target.host, target.port, ...rest);
    }
    for (const node of [to, from, 3 - from - to]) {
      await admins[node]?.call('CLUSTER', 'SETSLOT', slot, 'NODE', await this.idOf(to));
    }
    // Word of an earlier move may still be on its way between them.
    await waitUntil(async () => {
      const owners = await Promise.all([0, 1, 2].map((node) => this.ownerOf(key, node)));
      return owners.every((owner) => owner === to);
    });
  }

  async move(key: string, from: number, to: number): Promise<void> {
    await this.begin(key, from, to);
    await this.finish(key, from, to);
  }

  private slotOf(key: string): Promise<number> {
    return this.nodes.admins[0]!.cluster('KEYSLOT', key);
  }

  private idOf(node: number): Promise<string> {
    return this.nodes.admins[node]!.cluster('MYID');
  }
}
