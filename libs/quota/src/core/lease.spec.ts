import { LocalLease } from './lease';

describe('LocalLease', () => {
  it('is one holder’s until it is given up or lapses', async () => {
    let now = 0;
    const lease = new LocalLease(() => now);
    const first = await lease.take('a', 100);
    expect(await lease.take('a', 100)).toBeNull();
    expect(await lease.take('b', 100)).not.toBeNull();
    await first!.release();
    const second = await lease.take('a', 100);
    await first!.release();
    expect(await lease.take('a', 100)).toBeNull();
    now = 99;
    expect(await second!.keep(100)).toBe(true);
    now = 198;
    expect(await lease.take('a', 100)).toBeNull();
    now = 199;
    expect(await lease.take('a', 100)).not.toBeNull();
    expect(await second!.keep(100)).toBe(false);
  });
});
