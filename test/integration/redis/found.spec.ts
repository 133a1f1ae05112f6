import { waitUntil } from '../../support';
import { startLedger, stopLedgers, type Ledger } from './ledger';

/** Defects that the model suite or a review found in this adapter, each with where it came from. */
describe('found before', () => {
  let ledger: Ledger;
  beforeAll(async () => {
    ledger = await startLedger();
  });
  afterAll(stopLedgers);

  /** Waits for the server's clock alone, asking nothing that would reap. */
  const pass = async (ms: number): Promise<void> => {
    const end = performance.now() + ms + 2;
    await waitUntil(() => performance.now() >= end);
  };

  it('a commit sent again counted its expired entry (MODEL_SEED=194004020, life 7)', async () => {
    const s = ledger.scene();
    const hold = await s.hold('k', 10);
    await s.commit(hold, 10, { ttlMs: 20 });
    await pass(20);
    expect(await s.commit(hold)).toMatchObject({
      outcome: 'committed',
      usage: { committedBytes: 0 },
    });
  });

  it('a put and a removal sent again did so too', async () => {
    const s = ledger.scene();
    const body = Buffer.alloc(10);
    await s.putUnmetered('u', body, { id: 'u', ttlMs: 20 });
    await s.remove('k', { id: 'r' });
    await s.put('k', 10, { ttlMs: 20 });
    await pass(20);
    expect(await s.putUnmetered('u', body, { id: 'u' })).toMatchObject({
      usage: { unmeteredBytes: 0 },
    });
    expect(await s.remove('k', { id: 'r' })).toMatchObject({
      removed: false,
      usage: { committedBytes: 0 },
    });
  });

  it('Retry-After counted a reservation that had lapsed just now (MODEL_SEED=194004020, life 81)', async () => {
    const s = ledger.scene({ quotaBytes: 110, hardBytes: 110 });
    await s.hold('a', 21, { holdMs: 20 });
    await s.putUnmetered('a', Buffer.alloc(121), { ttlMs: 5_000 });
    await pass(20);
    // 111 bytes too many; the entry frees 121 of them, now that nobody overwrites it.
    const reply = await s.reserve('b', 100);
    expect(reply).toMatchObject({ outcome: 'rejected', usedAfterBytes: 221 });
    expect(reply).toHaveProperty('retryAfterMs');
  });
});
