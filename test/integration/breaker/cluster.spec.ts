import { Test, type TestingModule } from '@nestjs/testing';
import {
  QuotaChecker,
  QuotaModule,
  QuotaObserver,
  quotaRedisOptions,
  StoreBreakers,
  type StoreState,
} from '@app/quota';
import { Cluster } from 'ioredis';
import { RedisKeys } from '../../../libs/quota/src/adapters/redis';
import { startLoad, startStallMeter, waitUntil, type Sample } from '../../support';
import { startCluster, type ClusterServers } from '../redis/cluster-servers';
import { pause } from './outage';

const LATEST_MS = 500;
const TENANTS = 60;

let nodes: ClusterServers;
let cluster: Cluster;
let app: TestingModule;
let changes: { state: StoreState; at: number; cause?: string }[];
/** Which of the three masters each tenant is on. */
let homes: number[];

const tenantOf = (n: number): string => `t-${String(n % TENANTS)}`;

beforeEach(async () => {
  // Else the others stop serving too once they agree that one is gone, after 15 s.
  nodes = await startCluster(['--cluster-require-full-coverage', 'no']);
  cluster = new Cluster(
    nodes.servers.map(({ host, port }) => ({ host, port })),
    { redisOptions: quotaRedisOptions, enableOfflineQueue: false },
  );
  cluster.on('error', () => undefined);
  await waitUntil(() => cluster.status === 'ready');
  app = await Test.createTestingModule({
    imports: [QuotaModule.forRoot({ redis: cluster, drainSeconds: 0 })],
  }).compile();
  await app.init();
  changes = [];
  app.get(QuotaObserver).on('store', ({ state, cause }) => {
    changes.push({ state, at: performance.now(), ...(cause !== undefined && { cause }) });
  });
  const keys = new RedisKeys();
  const slots = Array.from({ length: TENANTS }, (_, n) =>
    nodes.admins[0]!.cluster('KEYSLOT', keys.state(tenantOf(n))),
  );
  homes = (await Promise.all(slots)).map((slot) => Math.floor((slot * 3) / 16_384));
}, 40_000);
afterEach(async () => {
  await app.close();
  cluster.disconnect();
  await Promise.all(nodes.servers.map((server) => server.stop()));
});

interface Call extends Sample {
  readonly home: number;
}

function load(width: number): () => Promise<Call[]> {
  const checker = app.get(QuotaChecker);
  const calls: Call[] = [];
  const end = startLoad(width, async (n) => {
    const write = { tenant: tenantOf(n), key: `k${String(n % 20)}`, bytes: 1 };
    const startedAt = performance.now();
    const error: unknown = await checker
      .run(write, () => Promise.resolve(undefined))
      .then(
        () => undefined,
        (reason: unknown) => reason,
      );
    const tookMs = performance.now() - startedAt;
    calls.push({ startedAt, tookMs, home: homes[n % TENANTS] ?? NaN, error });
  });
  return async () => {
    await end();
    return calls;
  };
}

it.each(['killed', 'paused'] as const)(
  'one master of three %s leaves the slots of the others alone',
  async (how) => {
    const stop = load(60);
    await pause(300);
    const stall = startStallMeter();
    const wentAt = performance.now();
    if (how === 'killed') await nodes.servers[0]?.kill();
    else nodes.servers[0]?.pause();
    await pause(4_000);
    const calls = await stop();
    const stallMs = stall();
    if (how === 'paused') nodes.servers[0]?.resume();
    const after = calls.filter(({ startedAt }) => startedAt > wentAt);
    const others = after.filter(({ home }) => home !== 0);
    const slowestMs = Math.max(...after.map(({ tookMs }) => tookMs));
    if (process.env['QUOTA_FIGURES'] !== undefined) {
      const dead = after.filter(({ home }) => home === 0);
      const slowestOthers = Math.max(...others.map(({ tookMs }) => tookMs));
      const failed = others.filter(({ error }) => error !== undefined).length;
      const figures = { how, slowestMs, slowestOthers, stallMs, dead: dead.length };
      process.stderr.write(
        `${JSON.stringify({ ...figures, others: others.length, failed, changes })}\n`,
      );
    }
    expect(changes).toEqual([]);
    expect(others.length).toBeGreaterThan(100);
    expect(others.filter(({ error }) => error !== undefined)).toEqual([]);
    expect(slowestMs - stallMs).toBeLessThanOrEqual(LATEST_MS);
  },
  40_000,
);

it('all masters killed open it', async () => {
  const stop = load(40);
  await pause(300);
  const stall = startStallMeter();
  const wentAt = performance.now();
  await Promise.all(nodes.servers.map((server) => server.kill()));
  await waitUntil(() => changes.length > 0, { timeoutMs: 3_000 });
  const openAfterMs = (changes[0]?.at ?? NaN) - wentAt;
  await pause(1_000);
  const calls = await stop();
  const stallMs = stall();
  const slowestMs = Math.max(...calls.map(({ tookMs }) => tookMs));
  if (process.env['QUOTA_FIGURES'] !== undefined) {
    process.stderr.write(`${JSON.stringify({ openAfterMs, slowestMs, stallMs })}\n`);
  }
  expect(changes[0]?.state).toBe('open');
  expect(openAfterMs).toBeLessThanOrEqual(600);
  expect(slowestMs - stallMs).toBeLessThanOrEqual(LATEST_MS);
  expect(app.get(StoreBreakers).states().redis).not.toBe('closed');
}, 40_000);
