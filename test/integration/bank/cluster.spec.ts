import { QuotaAdmin, QuotaUnavailableError } from '@app/quota';
import { randomUUID } from 'node:crypto';
import { RedisKeys } from '../../../libs/quota/src/adapters/redis';
import { createRedisClient } from '../../../src/redis/redis-client';
import { waitUntil } from '../../support';
import { setTimeout as sleep } from 'node:timers/promises';
import { addReplica, startCluster, type ClusterServers } from '../redis/cluster-servers';
import { SlotMoves } from '../redis/slot-moves';
import { figures } from './figures';
import type { Instance, PutOutcome } from './instance';
import { HARD, KB, World } from './world';

const keys = new RedisKeys();

let nodes: ClusterServers;
let moves: SlotMoves;
let world: World;
let instances: Instance[];

beforeAll(async () => {
  nodes = await startCluster(['--cluster-node-timeout', '2000', '--repl-diskless-sync-delay', '0']);
  moves = new SlotMoves(nodes);
  const hosts = nodes.servers.map(({ host, port }) => `${host}:${port}`).join(',');
  const connect = (): ReturnType<typeof createRedisClient> => {
    const client = createRedisClient(`redis-cluster://${hosts}`);
    client.on('error', () => undefined);
    void client.connect().catch(() => undefined);
    return client;
  };
  world = await World.start({ redis: nodes.servers[0]!, connect });
  instances = [await world.newInstance(), await world.newInstance()];
}, 60_000);
afterAll(async () => {
  await world.stop();
  await Promise.all(nodes.servers.map((server) => server.stop()));
});

/** Both instances write, overwrite and delete keys of the tenants until told to end; not as fast as they can. */
function load(
  tenants: readonly string[],
  put: typeof patientPut = (instance, ...write) => instance.put(...write),
): () => Promise<PutOutcome[]> {
  const outcomes: PutOutcome[] = [];
  let ended = false;
  const lanes = instances.flatMap((instance, i) =>
    tenants.map(async (tenant) => {
      for (let n = 0; !ended; n += 1) {
        outcomes.push(await put(instance, tenant, `k${i}-${n % 20}`, (1 + (n % 10)) * KB));
        if (n % 5 === 0) {
          const key = `k${i}-${(n * 3) % 20}`;
          await instance.remove(tenant, key).catch(onlyUnavailable);
        }
        await sleep(20);
      }
    }),
  );
  return async () => {
    ended = true;
    await Promise.all(lanes);
    return outcomes;
  };
}

/** A removal that was too late for its caller is still told. */
function onlyUnavailable(error: unknown): void {
  if (!(error instanceof QuotaUnavailableError)) throw error;
}

function count(outcomes: readonly PutOutcome[], what: PutOutcome): number {
  return outcomes.filter((one) => one === what).length;
}

/**
 * As `put` of an instance, but without the time limit of a request over all its steps, which on a busy
 * machine says more of the machine than of the slots.
 */
async function patientPut(
  instance: Instance,
  tenant: string,
  key: string,
  bytes: number,
): Promise<PutOutcome> {
  const limits = { quotaBytes: HARD, hardBytes: HARD };
  const request = { tenant, id: randomUUID(), key, bytes, limits, enforce: true };
  let reply = await instance.tracker.reserve({ ...request, stamp: 0, holdMs: 10_000 });
  if (reply.outcome === 'stale') {
    reply = await instance.tracker.reserve({ ...request, stamp: reply.stamp, holdMs: 10_000 });
  }
  if (reply.outcome !== 'reserved') return 'refused';
  const version = world.storage.put(tenant, key, bytes);
  const { generation } = reply;
  const committed = await instance.tracker.commit({ ...request, generation, version });
  return committed.outcome === 'committed' ? 'stored' : 'undone';
}

/** A tenant on each of the masters. */
async function tenantOfEach(): Promise<string[]> {
  const found: string[] = [];
  while (found.filter(Boolean).length < 3) {
    const tenant = await world.newTenant();
    found[await moves.ownerOf(keys.state(tenant))] ??= tenant;
  }
  return found;
}

/** The tenants' slots are moved again and again while both instances write; what came of the writes. */
async function underMoves(
  tenants: readonly string[],
  put?: typeof patientPut,
): Promise<PutOutcome[]> {
  for (const tenant of tenants) expect(await instances[0]!.put(tenant, 'first', KB)).toBe('stored');
  const end = load(tenants, put);
  const movesMs: number[] = [];
  for (let round = 0; round < 4; round += 1) {
    for (const tenant of tenants) {
      // Moved faster than the nodes tell each other, they come to disagree for good on who owns a slot.
      await sleep(150);
      const from = await moves.ownerOf(keys.state(tenant));
      const began = performance.now();
      await moves.move(keys.state(tenant), from, (from + 1) % 3);
      movesMs.push(Math.round(performance.now() - began));
    }
  }
  const outcomes = await end();
  const stored = count(outcomes, 'stored');
  figures('slots moved', { movesMs, writes: outcomes.length, stored });
  expect(stored).toBeGreaterThan(50);
  return outcomes;
}

/** A slot is no server: nothing was lost, and nobody says so. */
async function expectNothingLost(tenants: readonly string[]): Promise<void> {
  for (const tenant of tenants) await world.settled(tenant);
  const errors = instances.flatMap((instance) => instance.errors.map(({ error }) => error));
  expect(errors).not.toContain('server_changed');
  expect(errors).not.toContain('usage_lost');
}

it('slots moved under load: every write is stored, and the accounts are exact', async () => {
  const tenants = await tenantOfEach();
  expect(new Set(await underMoves(tenants, patientPut))).toEqual(new Set(['stored']));
  await expectNothingLost(tenants);
}, 60_000);

it('slots moved under load that goes through the checker: no refusal by it, exact afterwards', async () => {
  const tenants = await tenantOfEach();
  expect(await underMoves(tenants)).not.toContain('refused');
  await expectNothingLost(tenants);
}, 60_000);

it('a master killed, its replica takes over: no refusal by it, exact afterwards', async () => {
  const replica = await addReplica(nodes, 0);
  try {
    const tenants = await tenantOfEach();
    const full = await world.newTenant();
    expect(await instances[0]!.put(full, 'all', HARD)).toBe('stored');
    const end = load(tenants);
    const began = performance.now();
    await nodes.servers[0]!.kill();
    await waitUntil(
      async () => {
        const list = String(await nodes.admins[1]!.cluster('NODES'));
        return new RegExp(`:${replica.port}@\\d+ master `).test(list);
      },
      // Its peers vote, each within a ping: on a busy machine it takes several rounds.
      { timeoutMs: 45_000, what: () => 'the replica to be promoted' },
    );
    const promotedAfterMs = Math.round(performance.now() - began);
    await waitUntil(
      () => instances.every(({ errors }) => errors.some((e) => e.error === 'server_changed')),
      { what: () => JSON.stringify(instances.map(({ errors }) => errors.slice(-3))) },
    );
    const foundAfterMs = Math.round(performance.now() - began);
    const outcomes = await end();
    for (const tenant of [...tenants, full]) await world.settled(tenant);
    figures('master killed', {
      ...{ promotedAfterMs, foundAfterMs, writes: outcomes.length },
      ...{ unavailable: count(outcomes, 'unavailable'), undone: count(outcomes, 'undone') },
    });
    expect(count(outcomes, 'refused')).toBe(0);
    expect(count(outcomes, 'stored')).toBeGreaterThan(20);
    expect(await instances[1]!.put(full, 'more', 1)).toBe('refused');
    await instances[0]!.module.get(QuotaAdmin).reconcile(full);
    await world.settled(full);
  } finally {
    await replica.stop();
  }
}, 120_000);
