import { QuotaUnavailableError } from './errors';
import { holdAnew } from './hold-anew';
import { Holds } from './holds';
import type { ReserveRequest } from './usage-tracker';

const limits = { quotaBytes: 100, hardBytes: 100 };

function open(holds: Holds, ids: string[], tenant = 'acme'): void {
  for (const id of ids) {
    holds.open({ tenant, id, key: `key-${id}`, bytes: 5, limits, generation: `of ${id}` }, 60_000);
  }
}

class Ledger {
  readonly asked: string[] = [];
  readonly held: (ReserveRequest & { generation: string })[] = [];

  constructor(private readonly refuse: (id: string, attempt: number) => boolean = () => false) {}

  async holdAnew(request: ReserveRequest, generation: string): Promise<void> {
    const { id } = request;
    this.asked.push(id);
    if (this.refuse(id, this.asked.filter((one) => one === id).length)) {
      throw new QuotaUnavailableError('reserve', { applied: 'no' });
    }
    this.held.push({ ...request, generation });
  }
}

it('holds what is open of the tenant, whatever its limit, for the time it has left', async () => {
  const [holds, ledger] = [new Holds(() => 0), new Ledger()];
  open(holds, ['a', 'settled']);
  open(holds, ['b'], 'other');
  holds.settle('settled');
  expect(await holdAnew(holds, 'acme', ledger, true)).toBeNull();
  expect(ledger.held).toEqual([
    {
      ...{ tenant: 'acme', id: 'a', key: 'key-a', bytes: 5, limits, generation: 'of a' },
      ...{ enforce: false, stamp: 0, holdMs: 60_000, keep: true },
    },
  ]);
  expect(await holdAnew(holds, null, ledger, false)).toBeNull();
  expect(ledger.asked).toEqual(['a', 'a', 'b']);
});

it('tries again what failed, and leaves out what was settled meanwhile', async () => {
  const holds = new Holds();
  const ledger = new Ledger((id, attempt) => {
    if (attempt === 2) holds.settle('gone');
    return id !== 'a' && attempt < 3;
  });
  open(holds, ['a', 'b', 'gone']);
  expect(await holdAnew(holds, 'acme', ledger, false)).toBeNull();
  expect(ledger.held.map(({ id }) => id)).toEqual(['a', 'b']);
  expect(ledger.asked.filter((id) => id === 'a')).toHaveLength(1);
});

it('says in the end why some could not be held', async () => {
  const [holds, ledger] = [new Holds(), new Ledger((id) => id === 'b')];
  const many = Array.from({ length: 120 }, (_, n) => `n${n}`);
  open(holds, [...many, 'b']);
  const began = performance.now();
  expect(await holdAnew(holds, 'acme', ledger, false)).toBeInstanceOf(QuotaUnavailableError);
  expect(performance.now() - began).toBeGreaterThan(600);
  expect(ledger.held).toHaveLength(120);
});
