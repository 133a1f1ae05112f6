import { randomUUID } from 'node:crypto';
import {
  InvalidTenantError,
  InvalidWriteError,
  type CommitReply,
  type ReserveReply,
  type ReserveRequest,
} from '../../core';
import { MemoryUsageTracker } from './memory-usage-tracker';

// What docs/ledger.md asks for is held in test/contract; here is what only this store can show.

const limits = { quotaBytes: 10_000, hardBytes: 10_000 };

class Desk {
  now = 1_000_000;
  readonly tracker = new MemoryUsageTracker(() => this.now);

  reserve(
    tenant: string,
    key: string | undefined,
    bytes: number,
    more: Partial<ReserveRequest> = {},
  ): Promise<ReserveReply> {
    const keyed = key === undefined ? {} : { key };
    const fixed = { limits, enforce: true, holdMs: 60_000, stamp: 0, id: randomUUID() };
    return this.tracker.reserve({ tenant, ...keyed, bytes, ...fixed, ...more });
  }

  async put(
    tenant: string,
    key: string,
    bytes: number,
    ttlMs?: number,
    more: Partial<ReserveRequest> = {},
  ): Promise<CommitReply> {
    const id = randomUUID();
    const reply = await this.reserve(tenant, key, bytes, { ...more, id });
    if (reply.outcome !== 'reserved') throw new Error(reply.outcome);
    const life = ttlMs === undefined ? {} : { ttlMs };
    const { generation } = reply;
    return this.tracker.commit({
      ...{ tenant, id, key, bytes, limits, enforce: true, generation },
      ...life,
    });
  }

  get tenants(): number {
    return (this.tracker as unknown as { ledgers: { size: number } }).ledgers.size;
  }
}

describe('MemoryUsageTracker: time', () => {
  it('ends an entry at its expiry, not a millisecond later', async () => {
    const desk = new Desk();
    await desk.put('t', 'k', 10, 100);
    await desk.put('t', 'l', 10, 100);
    desk.now += 99;
    expect(await desk.tracker.remove({ tenant: 't', id: 'a', key: 'k' })).toMatchObject({
      removed: true,
    });
    desk.now += 1;
    expect(await desk.tracker.remove({ tenant: 't', id: 'b', key: 'l' })).toMatchObject({
      removed: false,
      freedBytes: 0,
    });
  });

  it('takes no notice of a clock that goes back', async () => {
    const desk = new Desk();
    await desk.put('t', 'k', 10, 1_000);
    desk.now -= 86_400_000;
    await desk.put('t', 'later', 10, 1_000);
    desk.now += 86_400_000 + 1_000;
    expect(await desk.tracker.read('t')).toMatchObject({ committedBytes: 0 });
  });

  it('goes by a clock of its own: setting the wall clock ends nothing', async () => {
    const tracker = new MemoryUsageTracker();
    const id = randomUUID();
    const write = { tenant: 't', id, key: 'k', bytes: 5, limits, enforce: true };
    const reply = await tracker.reserve({ ...write, stamp: 0, holdMs: 60_000 });
    const { generation } = reply as { generation: string };
    const wall = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + 86_400_000);
    const committed = await tracker.commit({ ...write, generation, ttlMs: 60_000 });
    wall.mockRestore();
    expect(committed).toMatchObject({ outcome: 'committed' });
    expect((committed as { expiresAt: number }).expiresAt - Date.now()).toBeLessThan(70_000);
    expect(await tracker.read('t')).toMatchObject({ committedBytes: 5 });
  });

  it('ends an entry at its expiry to the millisecond', async () => {
    const desk = new Desk();
    await desk.put('t', 'k', 10, 1_000);
    desk.now += 999;
    expect(await desk.tracker.read('t')).toMatchObject({ committedBytes: 10 });
    desk.now += 1;
    expect(await desk.tracker.read('t')).toMatchObject({ committedBytes: 0 });
  });

  it('ends a reservation at its deadline to the millisecond', async () => {
    const desk = new Desk();
    await desk.reserve('t', 'k', 10, { holdMs: 500 });
    desk.now += 499;
    expect(await desk.tracker.read('t')).toMatchObject({ reservedBytes: 10 });
    desk.now += 1;
    expect(await desk.tracker.read('t')).toMatchObject({ reservedBytes: 0 });
  });

  it('remembers a settled id for ten seconds', async () => {
    const desk = new Desk();
    await desk.put('t', 'k', 10);
    const remove = { tenant: 't', id: 'once', key: 'k' };
    expect(await desk.tracker.remove(remove)).toMatchObject({ removed: true });
    desk.now += 9_999;
    expect(await desk.tracker.remove(remove)).toMatchObject({ removed: true, freedBytes: 10 });
    desk.now += 1;
    expect(await desk.tracker.remove(remove)).toMatchObject({ removed: false, freedBytes: 0 });
  });
});

describe('MemoryUsageTracker: memory', () => {
  it('keeps nothing for 10,000 tenants that were only refused or asked about', async () => {
    const desk = new Desk();
    for (let i = 0; i < 10_000; i++) {
      await desk.reserve(`t${i}`, 'k', 10_001);
      await desk.tracker.read(`t${i}`);
      await desk.tracker.release(`t${i}`, 'x');
    }
    expect(desk.tenants).toBe(0);
  });

  it('forgets tenants whose ledger has long been empty, as others come', async () => {
    const desk = new Desk();
    for (let i = 0; i < 500; i++) await desk.put(`t${i}`, 'k', 10, 1_000);
    expect(desk.tenants).toBe(500);
    desk.now += 3_600_000;
    for (let i = 0; i < 600; i++) await desk.put('busy', 'k', 10);
    expect(desk.tenants).toBe(1);
  });

  it('never uses the generation of a forgotten life again', async () => {
    const desk = new Desk();
    const first = await desk.reserve('t', 'k', 10, { id: 'a', holdMs: 1_000 });
    desk.now += 3_600_000;
    await desk.put('other', 'k', 1);
    await desk.put('other', 'k', 1);
    expect(desk.tenants).toBe(1);
    const { generation } = first as { generation: string };
    const late = { tenant: 't', id: 'a', key: 'k', bytes: 10, limits, enforce: true, generation };
    expect(await desk.tracker.commit(late)).toEqual({ outcome: 'bounced' });
    const second = await desk.reserve('t', 'k', 10);
    expect((second as { generation: string }).generation).not.toBe(generation);
    expect(await desk.tracker.commit(late)).toEqual({ outcome: 'bounced' });
  });

  it('does not forget what is held, stored or charged, however long ago', async () => {
    const desk = new Desk();
    await desk.put('entry', 'k', 10);
    await desk.reserve('held', 'k', 10, { holdMs: 86_400_000 });
    const id = 'x';
    const { generation } = (await desk.reserve('charged', undefined, 10, { id })) as {
      generation: string;
    };
    const charge = { tenant: 'charged', id, bytes: 10, limits, enforce: true, generation };
    await desk.tracker.commit(charge);
    desk.now += 3_600_000;
    for (let i = 0; i < 50; i++) await desk.put('busy', 'k', 1);
    expect(desk.tenants).toBe(4);
    expect(await desk.tracker.read('entry')).toMatchObject({ committedBytes: 10 });
    expect(await desk.tracker.read('held')).toMatchObject({ reservedBytes: 10 });
    expect(await desk.tracker.read('charged')).toMatchObject({ committedBytes: 10 });
  });

  it('does not forget the newest configuration of a tenant that has one', async () => {
    const desk = new Desk();
    await desk.put('t', 'k', 10, 1_000, { stamp: 7 });
    desk.now += 3_600_000;
    for (let i = 0; i < 50; i++) await desk.put('busy', 'k', 1);
    expect(await desk.reserve('t', 'k', 1, { stamp: 6 })).toEqual({ outcome: 'stale', stamp: 7 });
  });

  it('gives the values of an idle tenant free when they expire', async () => {
    const desk = new Desk();
    for (let i = 0; i < 200; i++) await desk.put('idle', `k${i}`, 1, 1_000);
    desk.now += 120_000;
    for (let i = 0; i < 50; i++) await desk.put('busy', 'k', 1);
    // Not by this read: nothing is left for the sweep to find.
    expect(await desk.tracker.sweep('idle', 1_000)).toMatchObject({ expiredEntries: 0 });
  });

  it('forgets the marks of settled ids', async () => {
    const desk = new Desk();
    for (let i = 0; i < 1_000; i++) await desk.put('t', 'k', 1);
    desk.now += 10_000;
    for (let i = 0; i < 20; i++) await desk.put('t', 'k', 1);
    const { ledgers: tenants } = desk.tracker as unknown as {
      ledgers: { ledgers: Map<string, { marks: { kinds: { write: Map<string, unknown> } } }> };
    };
    expect(tenants.ledgers.get('t')?.marks.kinds.write.size).toBe(20);
  });
});

describe('MemoryUsageTracker: a mass expiry', () => {
  it('is reaped over several turns, others are served in between, and nothing is refused falsely', async () => {
    const desk = new Desk();
    for (let i = 0; i < 3_500; i++) await desk.put('t', `k${i}`, 2, 1_000);
    desk.now += 1_000;
    const order: string[] = [];
    const [big, , late] = await Promise.all([
      desk.reserve('t', 'big', 10_000).finally(() => order.push('big')),
      desk.reserve('other', 'k', 1).finally(() => order.push('other')),
      desk.tracker.read('t').finally(() => order.push('read')),
    ]);
    expect(order[0]).toBe('other');
    expect(big).toMatchObject({ outcome: 'reserved', usedAfterBytes: 10_000 });
    expect(late.committedBytes).toBe(0);
  });

  it('does not refuse a late commit falsely either', async () => {
    const desk = new Desk();
    const first = await desk.reserve('t', 'late', 9_000, { id: 'late', holdMs: 10 });
    desk.now += 10;
    await desk.tracker.read('t');
    for (let i = 0; i < 2_500; i++) await desk.put('t', `k${i}`, 4, 1_000);
    desk.now += 1_000;
    const { generation } = first as { generation: string };
    const commit = { tenant: 't', id: 'late', key: 'late', bytes: 9_000, limits, enforce: true };
    expect(await desk.tracker.commit({ ...commit, generation })).toMatchObject({
      outcome: 'committed',
    });
  });

  it('is counted whole by check', async () => {
    const desk = new Desk();
    for (let i = 0; i < 2_500; i++) await desk.put('t', `k${i}`, 4, 1_000);
    desk.now += 1_000;
    const question = { tenant: 't', key: 'k', bytes: 10_000, limits, enforce: true, stamp: 0 };
    expect(await desk.tracker.check(question)).toMatchObject({ usedAfterBytes: 10_000 });
  });
});

describe('MemoryUsageTracker: entries', () => {
  it('come in pages of at most the number asked for, each once, in the order of their keys', async () => {
    const desk = new Desk();
    const keys = ['b', 'a', '>', 'é', 'k:1', ' '];
    for (const key of keys) await desk.put('t', key, 1);
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page = await desk.tracker.entries('t', cursor, 2);
      expect(page.entries.length).toBeLessThanOrEqual(2);
      seen.push(...page.entries.map(({ key }) => key));
      cursor = page.next;
    }
    expect(seen).toEqual(keys.toSorted());
  });
});

describe('MemoryUsageTracker: arguments', () => {
  it.each<[string, Partial<Record<keyof ReserveRequest, unknown>>]>([
    ['a size below zero', { bytes: -1 }],
    ['a size in text', { bytes: '5' }],
    ['no size', { bytes: undefined }],
    ['an empty key', { key: '' }],
    ['a key of 513 bytes', { key: 'x'.repeat(513) }],
    ['a key with a lone surrogate', { key: '\ud800' }],
    ['a key that is no text', { key: 5 }],
  ])('refuses %s as an invalid write, and keeps no state', async (_, wrong) => {
    const desk = new Desk();
    const request = { ...requestOf(), ...wrong } as ReserveRequest;
    await expect(desk.tracker.reserve(request)).rejects.toThrow(InvalidWriteError);
    expect(desk.tenants).toBe(0);
  });

  it.each<[string, Partial<Record<keyof ReserveRequest, unknown>>]>([
    ['no hold', { holdMs: 0 }],
    ['half a millisecond', { holdMs: 0.5 }],
    ['a hold beyond the exact numbers', { holdMs: Number.MAX_SAFE_INTEGER }],
    ['an empty id', { id: '' }],
    ['a stamp below zero', { stamp: -1 }],
    ['a hard limit below the quota', { limits: { quotaBytes: 10, hardBytes: 9 } }],
    ['limits that are no numbers', { limits: { quotaBytes: Number.NaN, hardBytes: 9 } }],
  ])('refuses %s as out of range', async (_, wrong) => {
    const desk = new Desk();
    const request = { ...requestOf(), ...wrong } as ReserveRequest;
    await expect(desk.tracker.reserve(request)).rejects.toThrow(RangeError);
    expect(desk.tenants).toBe(0);
  });

  it('refuses a malformed tenant everywhere', async () => {
    const { tracker } = new Desk();
    const tenant = '{}';
    const request = { ...requestOf(), tenant };
    const calls = [
      () => tracker.reserve(request),
      () => tracker.check(request),
      () => tracker.commit({ ...request, generation: 'g' }),
      () => tracker.release(tenant, 'id'),
      () => tracker.remove({ tenant, id: 'id', key: 'k' }),
      () => tracker.refund({ tenant, id: 'id', bytes: 1 }),
      () => tracker.read(tenant),
      () => tracker.sweep(tenant, 1),
      () => tracker.drop(tenant),
      () => tracker.recount(tenant),
      () => tracker.entries(tenant, '', 1),
      () => tracker.lookup(tenant, ['k']),
      () => tracker.correct(tenant, []),
      () => tracker.getValue(tenant, 'k'),
      () => tracker.putUnmetered({ ...request, key: 'k', value: { body: Buffer.of(), meta: '' } }),
    ];
    for (const call of calls) await expect(call()).rejects.toThrow(InvalidTenantError);
  });

  it('refuses a value without a key, and a description of more than 1,024 bytes', async () => {
    const { tracker } = new Desk();
    const keyless = { tenant: 't', id: 'i', bytes: 1, limits, enforce: true, generation: 'g' };
    const value = { body: Buffer.of(), meta: '' };
    await expect(tracker.commit({ ...keyless, value })).rejects.toThrow(InvalidWriteError);
    const long = { body: Buffer.of(), meta: 'é'.repeat(513) };
    await expect(tracker.commit({ ...keyless, key: 'k', value: long })).rejects.toThrow(
      InvalidWriteError,
    );
  });

  it('refuses corrections beyond the largest sum, with none of them applied', async () => {
    const { tracker } = new Desk();
    const corrections = [
      { key: 'a', bytes: 5 },
      { key: 'b', bytes: Number.MAX_SAFE_INTEGER },
    ];
    await expect(tracker.correct('t', corrections)).rejects.toThrow(RangeError);
    expect(await tracker.read('t')).toMatchObject({ committedBytes: 0 });
  });

  it('takes a correction that has expired by now for none', async () => {
    const desk = new Desk();
    await desk.put('t', 'k', 10);
    const seen = { bytes: 10, version: 0 };
    const past = { key: 'k', bytes: 20, expiresAt: desk.now, seen };
    expect(await desk.tracker.correct('t', [past])).toEqual({ applied: 1, deltaBytes: -10 });
    expect(await desk.tracker.read('t')).toMatchObject({ committedBytes: 0 });
  });

  it('refuses an unmetered value beyond the largest sum', async () => {
    const { tracker } = new Desk();
    await tracker.correct('t', [{ key: 'a', bytes: Number.MAX_SAFE_INTEGER }]);
    const value = { body: Buffer.of(1), meta: '' };
    const put = { tenant: 't', id: 'x', key: 'b', value, stamp: 0 };
    await expect(tracker.putUnmetered(put)).rejects.toThrow(RangeError);
    expect(await tracker.read('t')).toMatchObject({ unmeteredBytes: 0 });
  });
});

function requestOf(): ReserveRequest {
  const fixed = { limits, enforce: true, stamp: 0, holdMs: 1_000 };
  return { tenant: 't', id: 'id', key: 'k', bytes: 1, ...fixed };
}
