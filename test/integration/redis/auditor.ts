import type { Redis } from 'ioredis';

export interface Audit {
  /** What the ledger claims. */
  readonly committed: number;
  readonly reserved: number;
  readonly unmetered: number;
  /** What entries, reservations and pending sizes say. */
  readonly trueCommitted: number;
  readonly trueReserved: number;
  readonly trueUnmetered: number;
  readonly entries: number;
  readonly open: number;
}

/**
 * Reads a tenant's keys on its own, with plain commands, and adds up what is there: nothing of the
 * code under test has a part in it. @throws Error where two keys contradict each other.
 */
export async function audit(client: Redis, tenant: string, prefix = 'quota'): Promise<Audit> {
  const key = (part: string): string => `${prefix}:{${tenant}}:${part}`;
  const state = await client.hgetall(key('s'));
  const entries = await client.hgetall(key('e'));
  const pending = await client.hgetall(key('p'));
  const records = await client.hgetall(key('r'));
  const epoch = state['ue'] ?? '0';
  const live = new Map<string, number>();
  let [metered, unmetered] = [0, 0];
  for (const [name, text] of Object.entries(entries)) {
    const [bytes = '', expiry = '', mark = ''] = text.split(' ');
    const size = Number(bytes);
    if (mark === epoch) unmetered += size;
    else {
      metered += size;
      live.set(name, size);
    }
    const score = await client.zscore(key('x'), name);
    expectSame(`index of ${name}`, score ?? '0', expiry);
    const stored = await client.hexists(key('v'), name);
    if (stored === 1) {
      expectSame(`value of ${name}`, await client.hstrlen(key('v'), name), size);
    }
  }
  for (const name of await client.hkeys(key('v'))) {
    if (!(name in entries)) throw new Error(`A value without an entry: ${name}`);
  }
  const { unkeyedOpen, sizes, open, lapsed } = readRecords(records);
  let held = unkeyedOpen;
  for (const [name, list] of sizes) {
    const [, gone, ...seen] = (pending[name] ?? '').split(' ').map(Number);
    expectSame(
      `pending of ${name}`,
      seen.toSorted(byNumber).join(),
      list.toSorted(byNumber).join(),
    );
    expectSame(`lapsed of ${name}`, gone ?? 0, lapsed.get(name)?.length ?? 0);
    held += Math.max(0, Math.max(...list) - (live.get(name) ?? 0));
  }
  expectSame('keys pending', Object.keys(pending).length, sizes.size);
  const all = [...lapsed.values()].flat();
  expectSame('lapsed', state['lc'] ?? 0, all.length);
  expectSame(
    'lapsed bytes',
    state['lb'] ?? 0,
    all.reduce((sum, bytes) => sum + bytes, 0),
  );
  return {
    committed: Number(state['c'] ?? 0),
    reserved: Number(state['r'] ?? 0),
    unmetered: Number(state['u'] ?? 0),
    trueCommitted: metered + Number(state['k'] ?? 0),
    trueReserved: held,
    trueUnmetered: unmetered,
    entries: Object.keys(entries).length,
    open,
  };
}

/** I1 and I2 in their strict form. */
export async function expectExact(client: Redis, tenant: string, prefix?: string): Promise<Audit> {
  const found = await audit(client, tenant, prefix);
  expect(found).toMatchObject({
    committed: found.trueCommitted,
    reserved: found.trueReserved,
    unmetered: found.trueUnmetered,
  });
  return found;
}

function readRecords(records: Record<string, string>) {
  const sizes = new Map<string, number[]>();
  const lapsed = new Map<string, number[]>();
  let [unkeyedOpen, open] = [0, 0];
  for (const text of Object.values(records)) {
    const match = /^o (\d+) \d [01] ([01]) ([01]) ([^]*)$/.exec(text);
    if (!match) continue;
    const [, bytes, gone, keyed, name = ''] = match;
    open += 1;
    if (keyed === '0') unkeyedOpen += Number(bytes);
    else sizes.set(name, [...(sizes.get(name) ?? []), Number(bytes)]);
    if (gone === '1') lapsed.set(name, [...(lapsed.get(name) ?? []), Number(bytes)]);
  }
  return { unkeyedOpen, sizes, open, lapsed };
}

function byNumber(a: number, b: number): number {
  return a - b;
}

function expectSame(what: string, found: string | number, wanted: string | number): void {
  if (String(found) !== String(wanted)) {
    throw new Error(`${what}: ${String(found)}, expected ${String(wanted)}`);
  }
}
