import { GHOST_MS, KeyHistory, TenantHistory, type Op, type Outcome } from './model';

let ids = 0;

function op(
  start: number,
  end: number,
  size: number,
  outcome: Outcome,
  more: Partial<Op> = {},
): Op {
  ids += 1;
  return { id: ids, kind: 'put', size, ttlMs: null, start, end, outcome, ...more };
}

function deletion(start: number, end: number, outcome: Outcome = 'deleted'): Op {
  return op(start, end, 0, outcome, { kind: 'delete' });
}

function history(...ops: Op[]): KeyHistory {
  const key = new KeyHistory();
  for (const one of ops) key.begin(one);
  return key;
}

describe('what a key can have held', () => {
  const at = 100_000;

  it.each<[string, Op[], number]>([
    ['nothing was written', [], 0],
    ['an acknowledged write', [op(0, 10, 7, 'stored')], 7],
    ['the later of two', [op(0, 10, 7, 'stored'), op(20, 30, 5, 'stored')], 5],
    ['both of two that overlapped', [op(0, 25, 7, 'stored'), op(20, 30, 5, 'stored')], 7],
    ['nothing after a delete', [op(0, 10, 7, 'stored'), deletion(20, 30)], 0],
    [
      'the value whose delete was not told',
      [op(0, 10, 7, 'stored'), deletion(20, 30, 'unknown')],
      7,
    ],
    ['a write of unknown outcome, for good', [op(0, 10, 7, 'unknown')], 7],
    ['nothing of a refused write', [op(0, 10, 7, 'refused')], 0],
    ['nothing of an aborted write, after a while', [op(0, 10, 7, 'aborted')], 0],
    ['a hold of one aborted just now', [op(at - 20, at - 10, 7, 'aborted')], 7],
    ['a write under way', [op(at - 10, Infinity, 7, 'pending')], 7],
    ['nothing that has expired', [op(0, 10, 7, 'stored', { ttlMs: 1_000 })], 0],
    ['what has not yet', [op(at - 900, at - 890, 7, 'stored', { ttlMs: 1_000 })], 7],
    [
      'an unknown one, until one that began after its last effect',
      [op(0, 10, 7, 'unknown'), op(GHOST_MS - 100, GHOST_MS, 5, 'stored')],
      7,
    ],
    ['and not beyond', [op(0, 10, 7, 'unknown'), op(GHOST_MS + 20, GHOST_MS + 30, 5, 'stored')], 5],
  ])('%s', (_, ops, peak) => {
    expect(history(...ops).peak(at, at + 10)).toBe(peak);
  });

  it('sums over keys, the write in place of what its own key has', () => {
    const tenant = new TenantHistory();
    tenant.of('a').begin(op(0, 10, 7, 'stored'));
    tenant.of('b').begin(op(0, 10, 20, 'stored'));
    const larger = op(at, at + 5, 30, 'refused');
    const smaller = op(at, at + 5, 10, 'refused');
    tenant.of('b').begin(larger);
    expect(tenant.most('b', larger)).toBe(37);
    // The refused larger one was under way at the same time.
    expect(tenant.most('a', smaller)).toBe(40);
  });

  it('stays the same when old operations are forgotten', () => {
    const key = new KeyHistory();
    for (let i = 0; i < 1_000; i += 1) key.begin(op(i * 1_000, i * 1_000 + 10, i, 'stored'));
    expect(key.peak(1_000_000, 1_000_010)).toBe(999);
    expect(key.settled()?.op.size).toBe(999);
  });
});

describe('what must be there', () => {
  const sized = (...ops: Op[]) => history(...ops).settled()?.op.size;

  it('is the last acknowledged write', () => {
    expect(sized()).toBeUndefined();
    expect(sized(op(0, 10, 7, 'stored'), op(20, 30, 5, 'stored'))).toBe(5);
    expect(sized(op(0, 10, 7, 'stored'), deletion(20, 30))).toBe(0);
  });

  it('is not sure beside a write that overlapped, is under way, or is of unknown outcome', () => {
    expect(sized(op(0, 25, 7, 'stored'), op(20, 30, 5, 'stored'))).toBeUndefined();
    expect(sized(op(0, 10, 7, 'stored'), op(20, Infinity, 5, 'pending'))).toBeUndefined();
    expect(sized(op(0, 10, 7, 'stored'), op(20, 30, 5, 'unknown'))).toBeUndefined();
    expect(sized(op(0, 10, 7, 'unknown'), op(20, 30, 5, 'stored'))).toBeUndefined();
  });

  it('is sure again once a write of unknown outcome is long over', () => {
    expect(sized(op(0, 10, 7, 'unknown'), op(GHOST_MS + 20, GHOST_MS + 30, 5, 'stored'))).toBe(5);
  });

  it('is not changed by a refused or aborted write, and says that there was one', () => {
    const refused = op(20, 30, 5, 'refused');
    const key = history(op(0, 10, 7, 'stored'), refused, op(40, 50, 3, 'aborted'));
    expect(key.settled()?.op.size).toBe(7);
    expect(key.settled()?.refusedSince).toContain(refused);
  });

  it('is this value or that where the later write was not told', () => {
    const kept = op(0, 10, 7, 'stored');
    expect(history(kept, op(20, 30, 5, 'unknown')).doubtful()).toBe(kept);
    expect(history(kept).doubtful()).toBeNull();
    expect(history(kept, deletion(20, 30, 'unknown')).doubtful()).toBeNull();
    expect(history(kept, op(20, 30, 5, 'unknown', { ttlMs: 1_000 })).doubtful()).toBeNull();
  });
});
