import { QuotaUnavailableError } from './errors';
import { TimedSource } from './timed-source';
import { UsageSource, type SourceEntry } from './usage-tracker';

class Storage extends UsageSource {
  constructor(private readonly answer: () => Promise<SourceEntry[]>) {
    super();
  }

  async page(tenant: string, cursor: string | null, limit: number) {
    return { entries: await this.answer(), next: `${tenant} ${String(cursor)} ${limit}` };
  }

  async lookup(_tenant: string, keys: readonly string[]): Promise<SourceEntry[]> {
    return (await this.answer()).filter(({ key }) => keys.includes(key));
  }
}

const ENTRIES = [
  { key: 'a', bytes: 1 },
  { key: 'b', bytes: 2 },
];

it('says what the storage says, its errors too', async () => {
  const timed = new TimedSource(new Storage(async () => ENTRIES), 1_000);
  expect(await timed.page('acme', null, 5)).toEqual({ entries: ENTRIES, next: 'acme null 5' });
  expect(await timed.lookup('acme', ['b'])).toEqual([ENTRIES[1]]);
  const failure = new Error('no such table');
  const broken = new TimedSource(new Storage(() => Promise.reject(failure)), 1_000);
  await expect(broken.page('acme', null, 5)).rejects.toBe(failure);
  await expect(broken.lookup('acme', ['b'])).rejects.toBe(failure);
});

it('waits for one that hangs no longer than it may', async () => {
  const hanging = new TimedSource(new Storage(() => new Promise(() => undefined)), 50);
  const calls = [() => hanging.page('acme', null, 5), () => hanging.lookup('acme', ['a'])];
  for (const call of calls) {
    const error: unknown = await call().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(QuotaUnavailableError);
    expect(error).toMatchObject({ operation: 'usage_source', applied: 'no' });
  }
});
