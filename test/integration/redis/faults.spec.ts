import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { QuotaUnavailableError } from '../../../libs/quota/src/core';
import { RedisUsageTracker, quotaRedisOptions } from '../../../libs/quota/src/adapters/redis';
import { waitUntil } from '../../support';
import { Scene } from '../../contract/usage-tracker/scene';
import { expectExact } from './auditor';
import { ready, startLedger, stopLedgers, type Ledger } from './ledger';
import { startProxy } from './proxy';

const now = (): number => performance.now();

/** The error of an operation that must fail. */
async function failure(work: Promise<unknown>): Promise<QuotaUnavailableError> {
  const error: unknown = await work.then(
    () => 'no error',
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(QuotaUnavailableError);
  return error as QuotaUnavailableError;
}

describe('a Redis out of memory', () => {
  let ledger: Ledger;
  beforeAll(async () => {
    ledger = await startLedger({ args: ['--maxmemory-policy', 'noeviction'] });
  });
  afterAll(stopLedgers);
  afterEach(() => ledger.probe.config('SET', 'maxmemory', '0'));

  it('takes no new writes, and everything else', async () => {
    const s = ledger.scene();
    const value = { body: Buffer.alloc(100, 1), meta: '' };
    await s.put('old', 100, { value });
    const [commits, releases] = [await s.hold('new', 100), await s.hold('other', 100)];
    await s.put(undefined, 50);
    await ledger.probe.config('SET', 'maxmemory', '1');

    const refused = await failure(s.reserve('more', 1));
    expect(refused).toMatchObject({ applied: 'no', operation: 'reserve' });
    expect(await failure(s.putUnmetered('more', Buffer.from('x')))).toMatchObject({
      applied: 'no',
    });
    expect(await s.check('more', 1)).toMatchObject({ outcome: 'reserved' });
    expect(await s.commit(commits, 100, { value })).toMatchObject({ outcome: 'committed' });
    expect(await s.release(releases)).toMatchObject({ outcome: 'released' });
    expect(await s.value('new')).toEqual(value);
    expect(await s.remove('old')).toMatchObject({ freedBytes: 100 });
    expect(await s.refund(50)).toMatchObject({ freedBytes: 50 });
    expect(await s.used()).toEqual([100, 0]);
    expect((await s.tracker.recount(s.tenant)).driftBytes).toBe(0);
    const corrections = [{ key: 'new', bytes: 90, seen: { bytes: 100, version: 0 } }];
    expect(await s.tracker.correct(s.tenant, corrections)).toEqual({ applied: 1, deltaBytes: -10 });
    expect((await s.tracker.entries(s.tenant, null, 10)).entries).toHaveLength(1);
    await s.tracker.sweep(s.tenant, 10);
    await expectExact(ledger.probe, s.tenant);
    await s.tracker.drop(s.tenant);
    expect(await s.used()).toEqual([0, 0]);
  });
});

describe('SCRIPT FLUSH under load', () => {
  afterEach(stopLedgers);

  it('is noticed by nobody', async () => {
    const ledger = await startLedger({ tracker: { deadlineMs: 5_000 } });
    const s = ledger.scene({ quotaBytes: 1e9, hardBytes: 1e9 });
    const flushing = new AbortController();
    const flusher = (async () => {
      let flushes = 0;
      while (!flushing.signal.aborted) {
        await ledger.probe.script('FLUSH', 'SYNC');
        flushes += 1;
      }
      return flushes;
    })();
    const write = async (i: number): Promise<void> => {
      const key = `k${String(i % 50)}`;
      const body = Buffer.alloc(i % 97, 7);
      await s.put(key, body.length, { value: { body, meta: '' } });
      await s.value(key);
      if (i % 3 === 0) await s.remove(key);
    };
    for (let round = 0; round < 20; round++) {
      await Promise.all(Array.from({ length: 25 }, (_, i) => write(round * 25 + i)));
    }
    flushing.abort();
    expect(await flusher).toBeGreaterThan(50);
    expect((await expectExact(ledger.probe, s.tenant)).reserved).toBe(0);
  });
});

describe('a Redis that does not answer', () => {
  let ledger: Ledger;
  const deadlineMs = 200;
  beforeAll(async () => {
    ledger = await startLedger({ tracker: { deadlineMs } });
  });
  afterAll(stopLedgers);

  it('costs the deadline, not more, and the same id then has one effect', async () => {
    const s = ledger.scene();
    await s.put('old', 10);
    const hold = await s.hold('k', 30);
    const id = randomUUID();
    ledger.server.pause();
    // Measured against a plain timer, since a busy machine is late with any.
    const timer = new Promise((resolve) => setTimeout(resolve, deadlineMs)).then(now);
    const errors = await Promise.all([
      failure(s.reserve('late', 20, { id })),
      failure(s.commit(hold)),
      failure(s.remove('old')),
      failure(s.used()),
      failure(s.value('k')),
      failure(s.tracker.recount(s.tenant)),
      failure(s.tracker.entries(s.tenant, null, 10)),
    ]);
    expect(now() - (await timer)).toBeLessThan(50);
    expect(new Set(errors.map(({ applied }) => applied))).toEqual(new Set(['unknown']));
    ledger.server.resume();
    const landed = async () => {
      const sums = await ledger.probe.hmget(ledger.keys.state(s.tenant), 'c', 'r');
      return sums.join() === '30,20';
    };
    await waitUntil(landed, { what: () => 'the ghosts to land' });
    const again = await s.hold('late', 20, { id });
    expect(again.reply).toMatchObject({ usage: { committedBytes: 30, reservedBytes: 20 } });
    expect(await s.commit(hold)).toMatchObject({ outcome: 'committed', replaced: false });
    await s.commit(again);
    expect(await s.used()).toEqual([50, 0]);
    await expectExact(ledger.probe, s.tenant);
  });

  it('a release that overtakes its ghost reserve leaves nothing held', async () => {
    const s = ledger.scene();
    await s.put('old', 10);
    const id = randomUUID();
    await s.release({ id });
    const ghost = await s.hold('k', 500, { id });
    expect(ghost.reply.usage.reservedBytes).toBe(0);
    expect(await s.commit(ghost)).toEqual({ outcome: 'bounced' });
    expect(await s.used()).toEqual([10, 0]);
  });
});

describe('a process that stalls', () => {
  afterAll(stopLedgers);

  it('does not take its own stall for a Redis that does not answer', async () => {
    const { scene } = await startLedger();
    const s = scene();
    await s.put('k', 10);
    // From now on Redis knows the script.
    await s.used();
    const reading = s.tracker.read(s.tenant);
    // Beyond the deadline of 250 ms; the answer is there long before.
    const until = now() + 700;
    while (now() < until);
    expect(await reading).toMatchObject({ committedBytes: 10 });
  });
});

describe('a Redis that is gone', () => {
  afterEach(stopLedgers);

  it('fails at once, says so, and is used again when it is back', async () => {
    const ledger = await startLedger();
    const s = ledger.scene();
    await s.put('k', 10);
    await ledger.server.kill();
    await waitUntil(() => ledger.client.status !== 'ready');
    const started = performance.now();
    expect(await failure(s.reserve('k', 20))).toMatchObject({ applied: 'no' });
    expect(performance.now() - started).toBeLessThan(50);
    await ledger.server.restart();
    await waitUntil(async () => (await s.reserve('k', 20)).outcome === 'reserved');
  });

  it('killed under load settles every promise within the deadline', async () => {
    const deadlineMs = 300;
    const ledger = await startLedger({ tracker: { deadlineMs } });
    const s = ledger.scene({ quotaBytes: 1e9, hardBytes: 1e9 });
    let slowest = 0;
    const outcomes = new Map<string, number>();
    const write = async (i: number): Promise<void> => {
      const started = performance.now();
      const outcome = await s.reserve(`k${String(i)}`, 10).then(
        (reply) => reply.outcome,
        (error: unknown) => (error as QuotaUnavailableError).applied,
      );
      slowest = Math.max(slowest, performance.now() - started);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    };
    const work: Promise<void>[] = [];
    for (let i = 0; i < 2_000; i++) {
      work.push(write(i));
      if (i === 1_000) void ledger.server.kill();
      if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(work);
    expect(slowest).toBeLessThan(deadlineMs * 2);
    expect([...outcomes.values()].reduce((a, b) => a + b)).toBe(2_000);
  });

  it.each(['before', 'after'] as const)(
    'cut off %s the command arrived: the same id goes out once more, with one effect',
    async (when) => {
      const ledger = await startLedger();
      const proxy = await startProxy(ledger.server.port);
      const client = ledger.server.client({ ...quotaRedisOptions, port: proxy.port });
      await ready(client);
      const s = new Scene(new RedisUsageTracker(client, { deadlineMs: 2_000 }), 'tenant');
      await s.put('k', 10);
      proxy.cutNext(when);
      expect(await s.reserve('other', 20)).toMatchObject({
        outcome: 'reserved',
        usage: { committedBytes: 10, reservedBytes: 20 },
      });
      const hold = await s.hold('third', 30);
      proxy.cutNext(when);
      expect(await s.commit(hold)).toMatchObject({ outcome: 'committed', replaced: false });
      proxy.cutNext(when);
      expect(await s.remove('k')).toMatchObject({ removed: true, freedBytes: 10 });
      proxy.cutNext(when);
      expect(await s.release({ id: randomUUID() })).toMatchObject({ outcome: 'settled' });
      expect(proxy.cuts).toBe(4);
      expect(await s.used()).toEqual([30, 20]);
      await expectExact(ledger.probe, s.tenant);
      await proxy.close();
    },
  );

  it('with an ended client fails instead of waiting', async () => {
    const ledger = await startLedger();
    const s = ledger.scene();
    ledger.client.disconnect();
    await waitUntil(() => ledger.client.status === 'end');
    await failure(s.reserve('k', 1));
  });
});

describe('a Redis that says no', () => {
  let ledger: Ledger;
  beforeAll(async () => {
    ledger = await startLedger({ args: ['--busy-reply-threshold', '20'] });
  });
  afterAll(stopLedgers);

  it('BUSY, as not applied', async () => {
    const s = ledger.scene();
    await s.put('k', 10);
    const killer = ledger.server.client();
    await ready(killer);
    const busy = ledger.probe.eval('while true do end', 0).catch(() => undefined);
    await waitUntil(async () => {
      const error = await failure(s.reserve('k', 20));
      return error.applied === 'no';
    });
    await killer.script('KILL');
    await busy;
    expect(await s.reserve('k', 20)).toMatchObject({ outcome: 'reserved' });
  });

  it('NOREPLICAS, as not applied', async () => {
    const s = ledger.scene();
    await s.put('k', 10);
    await ledger.probe.config('SET', 'min-replicas-to-write', '1');
    expect(await failure(s.reserve('k', 20))).toMatchObject({ applied: 'no' });
    expect(await failure(s.remove('k'))).toMatchObject({ applied: 'no' });
    await ledger.probe.config('SET', 'min-replicas-to-write', '0');
    expect(await s.used()).toEqual([10, 0]);
  });

  it('READONLY, as not applied', async () => {
    const s = ledger.scene();
    await s.put('k', 10);
    const quiet = ledger.server.client({ ...quotaRedisOptions, reconnectOnError: () => false });
    await ready(quiet);
    const tracker = new RedisUsageTracker(quiet);
    await ledger.probe.replicaof('127.0.0.1', 1);
    const error = await failure(tracker.release(s.tenant, randomUUID()));
    expect(error).toMatchObject({ applied: 'no' });
    await ledger.probe.replicaof('NO', 'ONE');
  });

  it('MISCONF, as not applied', async () => {
    const other = await startLedger();
    const s = other.scene();
    const hold = await s.hold('k', 10);
    // Its folder gone, the server cannot save, and refuses writes for that.
    const [, folder = ''] = (await other.probe.config('GET', 'dir')) as string[];
    await rm(folder, { recursive: true });
    await other.probe.config('SET', 'save', '3600 1');
    await other.probe.bgsave();
    await waitUntil(async () =>
      (await other.probe.info('persistence')).includes('rdb_last_bgsave_status:err'),
    );
    const error = await failure(s.commit(hold));
    expect(error).toMatchObject({ applied: 'no' });
    expect(error.cause).toMatchObject({ message: expect.stringMatching(/^MISCONF/) as string });
    await other.probe.config('SET', 'save', '');
    expect(await s.commit(hold)).toMatchObject({ outcome: 'committed' });
  });

  it('a damaged key is trouble of ours, not of the tenant', async () => {
    const s = ledger.scene();
    await s.put('k', 10);
    const [state = '', entries = ''] = ledger.keys.ledger(s.tenant);
    await ledger.probe.hset(entries, 'k', 'rubbish');
    expect(await failure(s.remove('k'))).toMatchObject({ applied: 'unknown' });
    await ledger.probe.set(state, 'rubbish');
    await failure(s.reserve('k', 1));
  });

  it('a sum below zero is counted and set right, and giving back goes on', async () => {
    const s = ledger.scene();
    await s.put('k', 10);
    await ledger.probe.hincrby(ledger.keys.state(s.tenant), 'c', -4);
    expect(ledger.defects).toBe(0);
    expect(await s.remove('k')).toMatchObject({ removed: true, freedBytes: 10 });
    expect(ledger.defects).toBe(1);
    expect(await s.used()).toEqual([0, 0]);
  });
});
