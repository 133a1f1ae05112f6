import fc from 'fast-check';
import { MemoryQuotaStore } from '../adapters/memory/memory-quota-store';
import { MemoryUsageTracker } from '../adapters/memory/memory-usage-tracker';
import { QuotaDecision } from './decision';
import { QuotaObserver, type CheckEvent } from './observer';
import { QuotaCacheService } from './quota-cache.service';
import { QuotaChecker } from './quota-checker';
import { TenantReplay } from './replay';
import type { DecisionRecord } from './decision-store';

const MAX_WRITE = 700_000;
const QUOTA = 1_048_576;

/** A tenant with a quota of 1 MB and what was decided on its writes. */
function tenant(logOnly: boolean) {
  const observer = new QuotaObserver();
  const events: CheckEvent[] = [];
  observer.on('check', (event) => events.push(event));
  const options = { ttlMs: 60_000, maxTenants: 1, unknownTenant: 'default' as const };
  const quotas = new QuotaCacheService(
    ...[new MemoryQuotaStore(), null, { ...options, defaultQuotaMb: 1 }, observer],
  );
  const checker = new QuotaChecker(
    ...[quotas, new MemoryUsageTracker()],
    () => ({ enabled: true, logOnly, percent: 100, tenants: new Set<string>() }),
    { maxWriteBytes: MAX_WRITE, reservationTtlMs: 60_000 },
    observer,
  );
  const put = async (key: string, bytes: number): Promise<void> => {
    const verdict = await checker.reserve({ tenant: 't', key, bytes });
    if (verdict.admitted) await verdict.reservation.commit();
  };
  return { checker, events, put };
}

const writes = fc.array(
  fc.record({
    key: fc.constantFrom('a', 'b', 'c'),
    bytes: fc.oneof(fc.integer({ min: 0, max: QUOTA }), fc.constantFrom(MAX_WRITE, MAX_WRITE + 1)),
  }),
  { maxLength: 12 },
);

const said = ({ decision, bytes, limitBytes, usedBeforeBytes, deltaBytes }: CheckEvent) => ({
  ...{ decision, bytes, limitBytes, usedBeforeBytes, deltaBytes },
});

it('decides as enforcing would, from the same state', async () => {
  await fc.assert(
    fc.asyncProperty(writes, async (all) => {
      const [shadow, enforced] = [tenant(true), tenant(false)];
      for (const { key, bytes } of all) {
        const before = shadow.events.length;
        await Promise.all([shadow.put(key, bytes), enforced.put(key, bytes)]);
        expect(said(shadow.events[before]!)).toEqual(said(enforced.events[before]!));
        // From the first refusal on they hold different things.
        if (shadow.events[before]!.decision === QuotaDecision.REJECT) break;
      }
    }),
  );
});

it('tells with each write what was used before it, and what it changes', async () => {
  await fc.assert(
    fc.asyncProperty(writes, fc.boolean(), async (all, logOnly) => {
      const { checker, events, put } = tenant(logOnly);
      for (const { key, bytes } of all) {
        const { usedBytes: before } = await checker.status('t');
        await put(key, bytes);
        const { usedBytes: after } = await checker.status('t');
        const event = events.at(-1)!;
        if (bytes > MAX_WRITE) continue;
        expect(event.usedBeforeBytes).toBe(before);
        const stored = logOnly || event.decision !== QuotaDecision.REJECT;
        expect(after - before).toBe(stored ? event.deltaBytes : 0);
      }
    }),
  );
});

it('enforced, and replayed with the limit in force, gives the refusals that there were', async () => {
  await fc.assert(
    fc.asyncProperty(writes, async (all) => {
      const { events, put } = tenant(false);
      for (const { key, bytes } of all) await put(key, bytes);
      const replay = new TenantReplay(QUOTA);
      for (const event of events) {
        const record: DecisionRecord = {
          ...{
            tenant: 't',
            at: 0,
            bytes: event.bytes,
            deltaBytes: event.deltaBytes ?? event.bytes,
          },
          ...{
            usedBeforeBytes: event.usedBeforeBytes ?? null,
            quotaBytes: event.quotaBytes ?? null,
          },
          ...{ hardBytes: event.limitBytes, decision: event.decision, mode: event.mode },
        };
        expect(replay.next(record) !== null).toBe(event.decision === QuotaDecision.REJECT);
      }
    }),
  );
});
