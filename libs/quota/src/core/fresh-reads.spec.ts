import { FreshReads } from './fresh-reads';

function setUp(): { reads: FreshReads<number>; begun: (() => void)[] } {
  const begun: (() => void)[] = [];
  const load = (): Promise<number> => {
    const number = begun.length;
    return new Promise((resolve, reject) => {
      begun.push(() => (number === 1 ? reject(new Error('second')) : resolve(number)));
    });
  };
  return { reads: new FreshReads(load), begun };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('gives nobody a reading that began before the question, and shares the next', async () => {
  const { reads, begun } = setUp();
  const first = reads.read('a');
  const second = [reads.read('a'), reads.read('a'), reads.read('a')];
  expect(begun).toHaveLength(1);
  begun[0]!();
  expect(await first).toBe(0);
  await turn();
  expect(begun).toHaveLength(2);
  const third = reads.read('a');
  begun[1]!();
  const ends = await Promise.allSettled(second);
  expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  await turn();
  begun[2]!();
  expect(await third).toBe(2);
  expect(begun).toHaveLength(3);
});

it('begins at once when nothing is on its way, and for another name', async () => {
  const { reads, begun } = setUp();
  void reads.read('a');
  begun[0]!();
  await turn();
  void reads.read('a').catch(() => undefined);
  void reads.read('b');
  expect(begun).toHaveLength(3);
});
