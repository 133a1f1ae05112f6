import { Holds, type HeldWrite } from './holds';

function write(id: string, bytes: number, tenant = 'acme'): HeldWrite {
  const limits = { quotaBytes: 100, hardBytes: 100 };
  return { tenant, id, key: `key-${id}`, bytes, limits, generation: 'life/bank' };
}

describe('Holds', () => {
  it('knows what is open, and forgets what lapsed as the ledger does', () => {
    let now = 0;
    const holds = new Holds(() => now);
    holds.open(write('a', 10), 100);
    now = 50;
    holds.open(write('b', 5), 100);
    expect(holds.bytes).toBe(15);
    holds.settle('b');
    holds.settle('b');
    holds.settle('never');
    expect(holds.bytes).toBe(10);
    now = 100;
    expect(holds.bytes).toBe(0);
  });

  it('tells what a tenant has open, and how long still', () => {
    let now = 0;
    const holds = new Holds(() => now);
    holds.open(write('a', 10, 'one'), 100);
    holds.open(write('b', 5, 'two'), 100);
    now = 50;
    holds.open(write('c', 1, 'one'), 100);
    holds.open(write('d', 1, 'one'), 100);
    holds.abandon('a');
    holds.settle('d');
    const told = (tenant: string | null): unknown =>
      holds.ofTenant(tenant).map(({ write: { id }, leftMs }) => `${id} ${leftMs}`);
    expect(told('one')).toEqual(['a 50', 'c 100']);
    expect(told(null)).toEqual(['a 50', 'b 50', 'c 100']);
    now = 100;
    expect(told(null)).toEqual(['c 50']);
    expect(holds.isOpen('a')).toBe(false);
    expect(holds.isOpen('c')).toBe(true);
  });

  it('drains: refuses what is new, waits for what is open and for what is being decided', async () => {
    const holds = new Holds();
    let decide = (): void => undefined;
    const deciding = holds.deciding(async () => {
      await new Promise<void>((resolve) => (decide = resolve));
      holds.open(write('a', 10), 60_000);
    });
    const order: string[] = [];
    const drained = holds.drain(10_000).then((done) => order.push(`drained ${String(done)}`));
    await expect(holds.deciding(async () => 1)).rejects.toMatchObject({
      code: 'quota_unavailable',
      applied: 'no',
      closing: true,
    });
    decide();
    await deciding;
    order.push('decided');
    holds.settle('a');
    await drained;
    expect(order).toEqual(['decided', 'drained true']);
    expect(await holds.drain(0)).toBe(true);
  });

  it('says when something was not settled in time', async () => {
    const holds = new Holds();
    holds.open(write('a', 10), 60_000);
    expect(await holds.drain(1)).toBe(false);
  });

  it('does not wait for what its owner has given up, but counts it until it lapses', async () => {
    let now = 0;
    const holds = new Holds(() => now);
    holds.open(write('a', 10), 100);
    holds.open(write('b', 5), 100);
    holds.abandon('a');
    holds.abandon('never');
    const order: string[] = [];
    const drained = holds.drain(10_000).then((done) => order.push(`drained ${String(done)}`));
    await Promise.resolve();
    expect(order).toEqual([]);
    holds.abandon('b');
    await drained;
    expect(order).toEqual(['drained true']);
    expect(holds.bytes).toBe(15);
    // An answer that comes late settles it all the same.
    holds.settle('a');
    expect(holds.bytes).toBe(5);
    now = 100;
    expect(holds.bytes).toBe(0);
    holds.open(write('c', 1), 100);
    expect(await holds.drain(1)).toBe(false);
  });

  it('tells once which tenants were touched', () => {
    const holds = new Holds();
    for (const tenant of ['a', 'b', 'a']) holds.touch(tenant);
    expect(holds.takeTouched()).toEqual(['a', 'b']);
    expect(holds.takeTouched()).toEqual([]);
  });
});
