import { QuotaUnavailableError } from './errors';
import { StoredTruth } from './stored-truth';

/** Says of which keys it was seen that the ledger has them as they are stored. */
class Comparing {
  readonly busy = new Set<string>();
  readonly looks: string[] = [];
  failure: Error | null = null;

  /** Keys that a write was on its way to. */
  rebuilt: string[] = [];

  async rebuild(): Promise<string[]> {
    return this.rebuilt;
  }

  async verify(tenant: string, keys: readonly string[]): Promise<string[]> {
    this.looks.push(`${tenant}: ${keys.join(' ')}`);
    if (this.failure !== null) throw this.failure;
    return keys.filter((key) => !this.busy.has(key));
  }
}

function scene() {
  const comparing = new Comparing();
  return { comparing, truth: new StoredTruth(() => comparing) };
}

it('looks again at keys that a write is on its way to, until it was seen how they are', async () => {
  const { comparing, truth } = scene();
  comparing.busy.add('b').add('c');
  await truth.verify('acme', ['a', 'b', 'c']);
  await truth.verify('other', ['a']);
  comparing.busy.delete('b');
  expect(await truth.again()).toEqual([]);
  expect(await truth.again()).toEqual([]);
  comparing.busy.clear();
  for (let n = 0; n < 2; n += 1) expect(await truth.again()).toEqual([]);
  const looks = ['acme: a b c', 'other: a', 'acme: b c', 'acme: c', 'acme: c'];
  expect(comparing.looks).toEqual(looks);
  expect(truth.size).toBe(0);
});

it('looks again at what a rebuild has found while a write was on its way, some at a time', async () => {
  const { comparing, truth } = scene();
  comparing.rebuilt = Array.from({ length: 501 }, (_, n) => `k${n}`);
  await truth.rebuild('acme');
  expect(comparing.looks).toEqual([]);
  expect(await truth.again()).toEqual([]);
  expect(comparing.looks.map((look) => look.split(' ').length)).toEqual([501, 2]);
  expect(truth.size).toBe(0);
});

it('lets nothing wait where the first look fails, and goes on where a later one does', async () => {
  const { comparing, truth } = scene();
  const away = new QuotaUnavailableError('lookup', { applied: 'no' });
  comparing.failure = away;
  await expect(truth.verify('acme', ['a'])).rejects.toBe(away);
  expect(truth.size).toBe(0);
  comparing.failure = null;
  comparing.busy.add('a');
  await truth.verify('acme', ['a']);
  comparing.failure = away;
  expect(await truth.again()).toEqual([]);
  expect(truth.size).toBe(1);
  comparing.failure = new Error('a bug');
  expect(await truth.again()).toEqual([comparing.failure]);
  expect(truth.size).toBe(0);
});

it('asks a store that is away once in a round, and for others the next time', async () => {
  const { comparing, truth } = scene();
  comparing.busy.add('a');
  for (const tenant of ['one', 'two', 'three']) await truth.verify(tenant, ['a']);
  comparing.looks.length = 0;
  comparing.failure = new QuotaUnavailableError('usage_source', { applied: 'no' });
  for (let n = 0; n < 3; n += 1) await truth.again();
  expect(comparing.looks).toEqual(['one: a', 'two: a', 'three: a']);
  expect(truth.size).toBe(3);
});

it('gives up a key that is written all the time, and the oldest of too many', async () => {
  const { comparing, truth } = scene();
  comparing.busy.add('a');
  await truth.verify('acme', ['a']);
  for (let n = 0; n < 500 && truth.size > 0; n += 1) await truth.again();
  expect(truth.size).toBe(0);
  expect(comparing.looks.length).toBe(121);
  for (let n = 0; n < 1_001; n += 1) await truth.verify(`t${n}`, ['a']);
  comparing.looks.length = 0;
  await truth.again();
  expect(comparing.looks).toHaveLength(1_000);
  expect(comparing.looks[0]).toBe('t1: a');
});
