import { QuotaDecision } from './decision';
import { DecisionRecorder } from './decision-recorder';
import type { DecisionRecord } from './decision-store';
import { QuotaObserver, type CheckEvent } from './observer';
import { NoDecisions } from '../adapters/memory/no-decisions';

const unasked: CheckEvent = {
  ...{ tenant: 'acme', bytes: 10, usedBytes: 30, limitBytes: 100, durationMs: 1, source: 'memory' },
  ...{ decision: QuotaDecision.ALLOW, mode: 'shadow' },
};
const check: CheckEvent = { ...unasked, quotaBytes: 90, usedBeforeBytes: 20, deltaBytes: 10 };

class Store extends NoDecisions {
  readonly rows: DecisionRecord[] = [];
  readonly missed: number[] = [];
  away = false;
  trims: object[] = [];

  override async write(records: readonly DecisionRecord[], missed: number): Promise<void> {
    if (this.away) throw new Error('away');
    this.rows.push(...records);
    this.missed.push(missed);
  }

  override async trim(bounds: object): Promise<boolean> {
    this.trims.push(bounds);
    return false;
  }
}

let store: Store;
let observer: QuotaObserver;
let recorder: DecisionRecorder;
let counted: { written: number; dropped: number };

beforeEach(() => {
  store = new Store();
  observer = new QuotaObserver();
  counted = { written: 0, dropped: 0 };
  observer.on('recorded', ({ written, dropped }) => {
    counted.written += written;
    counted.dropped += dropped;
  });
  const options = { maxRows: 1_000, maxAgeMs: 500 };
  recorder = new DecisionRecorder(store, observer, options, () => 1_700);
  recorder.start();
});
afterEach(() => recorder.stop());

function decide(count: number): void {
  for (let i = 0; i < count; i++) observer.emit('check', check);
}

it('keeps what a replay needs, and writes it when it is its turn', async () => {
  decide(1);
  expect(store.rows).toEqual([]);
  expect(await recorder.flush()).toBe('done');
  expect(store.rows).toEqual([
    {
      ...{ tenant: 'acme', at: 1_700, bytes: 10, deltaBytes: 10, usedBeforeBytes: 20 },
      ...{ quotaBytes: 90, hardBytes: 100, decision: 'ALLOW', mode: 'shadow' },
    },
  ]);
  expect(store.trims).toEqual([{ maxRows: 1_000, before: 1_200 }]);
});

it('takes a write for which the ledger was not asked for one of its whole size', async () => {
  observer.emit('check', { ...unasked, decision: QuotaDecision.REJECT });
  await recorder.flush();
  expect(store.rows).toMatchObject([{ usedBeforeBytes: null, quotaBytes: null, deltaBytes: 10 }]);
});

it('writes in batches, and says that there is more', async () => {
  decide(1_100);
  expect(await recorder.flush()).toBe('more');
  expect(await recorder.flush()).toBe('done');
  expect(store.rows).toHaveLength(1_000);
  await recorder.stop();
  expect(store.rows).toHaveLength(1_100);
  expect(counted).toEqual({ written: 1_100, dropped: 0 });
});

it('drops what the buffer does not hold, counts it, and tells with the next rows', async () => {
  decide(10_007);
  expect(counted.dropped).toBe(7);
  await recorder.flush();
  await recorder.flush();
  expect(store.missed).toEqual([7, 0]);
});

it('loses no more than a batch when the store is away, and counts it', async () => {
  decide(700);
  store.away = true;
  await expect(recorder.flush()).rejects.toThrow('away');
  store.away = false;
  await recorder.flush();
  expect([store.rows.length, store.missed]).toEqual([200, [500]]);
  expect(counted).toEqual({ written: 200, dropped: 500 });
});
