import type { Query } from './admin';
import { page, read, type Page } from './answers';

/** The largest page that the service gives. */
export const PAGE = 100;

/** Items of a list, page by page, as long as there are more and somebody wants them. */
export async function* itemsOf(
  ask: (query: Query) => Promise<unknown>,
  query: Query,
  cursor = 'after',
): AsyncGenerator {
  let next: string | number | null = null;
  do {
    const asked: Query = { ...query, limit: PAGE, ...(next !== null && { [cursor]: next }) };
    const answer: Page = read(page, await ask(asked));
    yield* answer.items;
    ({ next } = answer);
  } while (next !== null);
}

/** The first so many, and whether there are more. */
export async function firstOf(
  items: AsyncIterable<unknown>,
  most: number,
): Promise<{ items: unknown[]; more: boolean }> {
  const first: unknown[] = [];
  for await (const item of items) {
    if (first.length === most) return { items: first, more: true };
    first.push(item);
  }
  return { items: first, more: false };
}
