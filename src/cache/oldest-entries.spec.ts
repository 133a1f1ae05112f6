import type { EvictableEntry } from './cache-store';
import { OldestEntries } from './oldest-entries';

const entry = (key: string, written?: number, expiresAt?: number): EvictableEntry => ({
  ...{ key, bytes: 1, version: 0 },
  ...(written !== undefined && { written }),
  ...(expiresAt !== undefined && { expiresAt }),
});

function keysOf(most: number, entries: EvictableEntry[]): [string[], boolean] {
  const oldest = new OldestEntries(most);
  for (const each of entries) oldest.add(each);
  return [oldest.list().map(({ key }) => key), oldest.left];
}

describe('OldestEntries', () => {
  it.each([1, 2, 3, 50, 199])('are the first %i of 200 in whatever order they come', (most) => {
    for (const step of [1, 7, 77, 199]) {
      const shown = Array.from({ length: 200 }, (_, i) => {
        const written = ((i * step) % 200) + 1;
        return entry(`k${written}`, written);
      });
      const oldest = Array.from({ length: most }, (_, i) => `k${i + 1}`);
      expect(keysOf(most, shown)).toEqual([oldest, true]);
    }
  });

  it('leaves none where there are no more', () => {
    expect(keysOf(3, [entry('b', 2), entry('a', 1), entry('c', 3)])).toEqual([
      ['a', 'b', 'c'],
      false,
    ]);
    expect(keysOf(3, [])).toEqual([[], false]);
  });

  it('begins with those of which it is not known, by their expiry', () => {
    const shown = [entry('new', 1, 5), entry('never'), entry('late', undefined, 9)];
    expect(keysOf(4, [...shown, entry('soon', undefined, 2)])).toEqual([
      ['soon', 'late', 'never', 'new'],
      false,
    ]);
  });

  it('has a key once, as it was shown last', () => {
    expect(keysOf(2, [entry('a', 1), entry('b', 2), entry('a', 3)])).toEqual([['b', 'a'], false]);
  });
});
