import { randomUUID } from 'node:crypto';
import { MemoryUsageTracker } from '../../libs/quota/src/adapters/memory';
import { describeUsageTracker } from './usage-tracker.contract';

/** What the tests look at and change behind the tracker's back. */
interface Inside {
  ledgers: { ledgers: Map<string, { committed: number }> };
}

describeUsageTracker('MemoryUsageTracker', () => {
  const tracker = new MemoryUsageTracker();
  const { ledgers } = (tracker as unknown as Inside).ledgers;
  return {
    tracker,
    freshTenant: () => `t-${randomUUID()}`,
    hasState: async (tenant) => ledgers.has(tenant),
    skewCommitted: async (tenant, deltaBytes) => {
      ledgers.get(tenant)!.committed += deltaBytes;
    },
  };
});
