import { randomUUID } from 'node:crypto';
import type { DataSource } from 'typeorm';
import {
  RedisLease,
  RedisUsageTracker,
  quotaRedisOptions,
} from '../../../libs/quota/src/adapters/redis';
import {
  QuotaObserver,
  Reconciler,
  UsageSource,
  UsageUpkeep,
  type QuotaStore,
  type SourceEntry,
} from '../../../libs/quota/src/core';
import { MemoryQuotaStore, PostgresQuotaStore } from '@app/quota';
import { createDataSource } from '../../../src/database/data-source';
import { startPostgres, waitUntil, type PostgresServer } from '../../support';
import { expectExact } from './auditor';
import { ready, roundTrips, startLedger, stopLedgers, type Ledger } from './ledger';

const OFF = { sweepMs: 0, usageSyncMs: 0, reconcileMs: 0 };
const DEADLINE = { deadlineMs: 5_000 };

let ledger: Ledger;
beforeAll(async () => {
  ledger = await startLedger({ tracker: DEADLINE });
}, 30_000);
afterAll(stopLedgers);

/** What an application keeps outside of the ledger. */
class Storage extends UsageSource {
  readonly entries = new Map<string, number>();

  async page(_tenant: string, cursor: string | null, limit: number) {
    const keys = [...this.entries.keys()].sort().filter((key) => cursor === null || key > cursor);
    const entries = keys.slice(0, limit).map((key) => this.at(key));
    return { entries, next: keys.length > limit ? (keys[limit - 1] ?? null) : null };
  }

  async lookup(_tenant: string, keys: readonly string[]): Promise<SourceEntry[]> {
    return keys.filter((key) => this.entries.has(key)).map((key) => this.at(key));
  }

  private at(key: string): SourceEntry {
    return { key, bytes: this.entries.get(key) ?? 0 };
  }
}

/** One instance: connection, tracker and upkeep of its own. */
async function instance(
  options: Partial<typeof OFF> = {},
  {
    store = new MemoryQuotaStore(),
    source = null,
    on = ledger,
  }: { store?: QuotaStore; source?: UsageSource | null; on?: Ledger } = {},
) {
  const client = on.server.client(quotaRedisOptions);
  await ready(client);
  const tracker = new RedisUsageTracker(client, DEADLINE);
  const lease = new RedisLease(client, DEADLINE);
  const observer = new QuotaObserver();
  const swept: number[] = [];
  const reconciled: string[] = [];
  const errors: string[] = [];
  observer.on('swept', (event) => swept.push(event.expiredEntries + event.expiredReservations));
  observer.on('reconciled', ({ tenant }) => reconciled.push(tenant));
  observer.on('error', ({ operation, error }) => errors.push(`${operation} ${error}`));
  const reconciler = new Reconciler(tracker, source, observer, { lease });
  const parts = { tracker, store, reconciler, lease, observer };
  const upkeep = new UsageUpkeep(parts, { ...OFF, ...options });
  return { client, tracker, lease, reconciler, upkeep, swept, reconciled, errors };
}

/** Whether a key or hold is still there, without a question to the ledger, which would reap it. */
async function held(tenant: string): Promise<number> {
  const [committed, reserved] = await ledger.probe.hmget(ledger.keys.state(tenant), 'c', 'r');
  return Number(committed) + Number(reserved);
}

describe('the sweep', () => {
  it('takes what is due of tenants that never come back, by any number of instances at once', async () => {
    const scenes = Array.from({ length: 20 }, () => ledger.scene());
    for (const s of scenes) {
      await s.put('stays', 1);
      await s.put('a', 5, { ttlMs: 1_000 });
      await s.hold('b', 7, { holdMs: 1_000 });
    }
    const all = await Promise.all([1, 2, 3].map(() => instance({ sweepMs: 100 })));
    for (const { upkeep } of all) upkeep.start();
    await waitUntil(
      async () => (await Promise.all(scenes.map((s) => held(s.tenant)))).every((n) => n === 1),
      { timeoutMs: 5_000 },
    );
    await Promise.all(all.map(({ upkeep }) => upkeep.stop()));
    const found = all.flatMap(({ swept }) => swept).reduce((a, b) => a + b, 0);
    expect(found).toBe(40);
    expect(all.flatMap(({ errors }) => errors)).toEqual([]);
    for (const s of scenes) await expectExact(ledger.probe, s.tenant);
  });

  it('gives the bytes of a process that was killed back by itself', async () => {
    const s = ledger.scene();
    const dead = ledger.server.client(quotaRedisOptions);
    await ready(dead);
    const tenant = s.tenant;
    const request = { tenant, id: randomUUID(), key: 'a', bytes: 9, limits: s.limits, stamp: 1 };
    await new RedisUsageTracker(dead, DEADLINE).reserve({ ...request, enforce: true, holdMs: 300 });
    dead.disconnect();
    const { upkeep, swept } = await instance({ sweepMs: 100 });
    upkeep.start();
    expect(await held(tenant)).toBe(9);
    await waitUntil(async () => (await held(tenant)) === 0, { timeoutMs: 5_300 });
    await upkeep.stop();
    expect(swept).toEqual([1]);
  });

  it('costs little for 10,000 tenants with nothing due', async () => {
    const own = await startLedger({ tracker: DEADLINE });
    const scenes = Array.from({ length: 10_000 }, () => own.scene());
    for (let i = 0; i < scenes.length; i += 500) {
      await Promise.all(scenes.slice(i, i + 500).map((s) => s.put('a', 1, { ttlMs: 3_600_000 })));
    }
    const { upkeep } = await instance({}, { on: own });
    const cpu = async (): Promise<number> => {
      const info = await own.probe.info('cpu');
      const seconds = (name: string): number => Number(RegExp(`${name}:(\\S+)`).exec(info)?.[1]);
      return (seconds('used_cpu_user') + seconds('used_cpu_sys')) * 1_000;
    };
    const before = { redis: await cpu(), us: process.cpuUsage(), at: performance.now() };
    const calls = await roundTrips(own.probe, () => upkeep.sweep());
    const us = process.cpuUsage(before.us);
    const figures = {
      keys: await own.probe.dbsize(),
      calls,
      ms: performance.now() - before.at,
      redisMs: (await cpu()) - before.redis,
      ownMs: (us.user + us.system) / 1_000,
    };
    if (process.env['QUOTA_FIGURES'] !== undefined)
      process.stdout.write(`${JSON.stringify(figures)}\n`);
    expect(calls).toBeLessThan(100);
    expect(figures.redisMs).toBeLessThan(1_000);
  }, 60_000);
});

describe('RedisLease', () => {
  it('is one instance’s, until it gives it up or is killed', async () => {
    const [a, b] = await Promise.all([instance(), instance()]);
    const name = randomUUID();
    const first = await a.lease.take(name, 60_000);
    expect(await b.lease.take(name, 60_000)).toBeNull();
    await first!.release();
    const second = await b.lease.take(name, 60_000);
    await first!.release();
    expect(await a.lease.take(name, 60_000)).toBeNull();
    expect(await second!.keep(200)).toBe(true);
    b.client.disconnect();
    let third = null;
    await waitUntil(async () => (third = await a.lease.take(name, 60_000)) !== null);
    expect(third).not.toBeNull();
    // Nobody can say whether it is still b's.
    expect(await second!.keep(60_000)).toBe(false);
  });
});

describe('the periodic reconciliation', () => {
  it('is done by one of three instances, once', async () => {
    const own = await startLedger({ tracker: DEADLINE });
    const scenes = Array.from({ length: 5 }, () => own.scene());
    for (const s of scenes) {
      await s.put('a', 5);
      await own.probe.hincrby(own.keys.state(s.tenant), 'c', 100);
    }
    const all = await Promise.all(
      [1, 2, 3].map(() => instance({ reconcileMs: 2_000 }, { on: own })),
    );
    for (const { upkeep } of all) upkeep.start();
    await waitUntil(() => all.flatMap(({ reconciled }) => reconciled).length >= 5, {
      timeoutMs: 10_000,
    });
    await Promise.all(all.map(({ upkeep }) => upkeep.stop()));
    const reconciled = all.flatMap((each) => each.reconciled);
    expect(reconciled.toSorted()).toEqual(scenes.map(({ tenant }) => tenant).toSorted());
    for (const s of scenes) expect(await s.used()).toEqual([5, 0]);
  });

  it('loses nothing under traffic, with two at once and one killed at every step', async () => {
    const storage = new Storage();
    const s = ledger.scene({ quotaBytes: 1e9, hardBytes: 1e9 });
    for (let i = 0; i < 30; i += 1) await s.put(`gone-${String(i)}`, 10);
    for (let i = 0; i < 30; i += 1) storage.entries.set(`orphan-${String(i)}`, 3);
    const ended = new AbortController();
    const traffic = (async () => {
      for (let i = 0; !ended.signal.aborted; i += 1) {
        const key = `busy-${String(i % 10)}`;
        const write = await s.hold(key, (i % 50) + 1);
        storage.entries.set(key, write.bytes);
        await s.commit(write);
      }
    })();
    const survivor = await instance({}, { source: storage });
    for (let step = 1; step <= 8; step += 1) {
      const dying = await instance({}, { source: storage });
      let left = step;
      for (const name of ['lookup', 'entries', 'correct', 'recount', 'read'] as const) {
        const real = dying.tracker[name].bind(dying.tracker) as (...args: unknown[]) => never;
        Object.assign(dying.tracker, {
          [name]: (...args: unknown[]) => {
            left -= 1;
            if (left <= 0) dying.client.disconnect();
            return real(...args);
          },
        });
      }
      await Promise.all([
        dying.reconciler.reconcileIfFree(s.tenant).catch(() => undefined),
        survivor.reconciler.reconcileIfFree(s.tenant),
      ]);
      await ledger.probe.del(ledger.keys.lease(`reconcile:${s.tenant}`)); // as if its time were over
    }
    ended.abort();
    await traffic;
    await survivor.reconciler.reconcile(s.tenant);
    const stored = [...storage.entries.values()].reduce((a, b) => a + b, 0);
    expect(await s.used()).toEqual([stored, 0]);
    await expectExact(ledger.probe, s.tenant);
  }, 60_000);
});

describe('usage in the table of quotas', () => {
  let server: PostgresServer;
  let dataSource: DataSource;
  beforeAll(async () => {
    server = await startPostgres();
    const databaseUrl = await server.createDatabase();
    dataSource = await createDataSource({ databaseUrl, dataDir: 'unused' });
  }, 60_000);
  afterAll(async () => {
    await dataSource.destroy();
    await server.stop();
  });

  it('comes to be what the ledger says, whoever writes it', async () => {
    const store = new PostgresQuotaStore(dataSource);
    const scenes = Array.from({ length: 40 }, () => ledger.scene());
    for (const [i, s] of scenes.entries()) {
      await store.change(s.tenant, {}, { actor: 'test' });
      await s.put('a', i + 1);
    }
    const all = await Promise.all([1, 2, 3].map(() => instance({ usageSyncMs: 200 }, { store })));
    for (const { upkeep } of all) upkeep.start();
    const rows = () =>
      dataSource.query<{ tenant_id: string; bytes: string; version: number }[]>(
        'SELECT tenant_id, current_usage_bytes AS bytes, version FROM tenant_cache_quotas',
      );
    const written = async (): Promise<boolean> => {
      const byTenant = new Map((await rows()).map((row) => [row.tenant_id, Number(row.bytes)]));
      const used = await Promise.all(scenes.map((s) => held(s.tenant)));
      return scenes.every((s, i) => byTenant.get(s.tenant) === used[i]);
    };
    await waitUntil(written, { timeoutMs: 10_000 });
    for (const s of scenes) await s.put('b', 3);
    await waitUntil(written, { timeoutMs: 10_000 });
    await Promise.all(all.map(({ upkeep }) => upkeep.stop()));
    expect((await rows()).every(({ version }) => version === 1)).toBe(true);
    expect(all.flatMap(({ errors }) => errors)).toEqual([]);
  });
});
