import { randomUUID } from 'node:crypto';
import { MemoryUsageTracker } from '../../libs/quota/src/adapters/memory';
import { describeLedgerModel } from './usage-tracker.model';

describeLedgerModel(
  'MemoryUsageTracker',
  () => {
    let now = 1_000_000;
    return {
      tracker: new MemoryUsageTracker(() => now),
      freshTenant: () => `t-${randomUUID()}`,
      now: () => now,
      advance: async (ms) => {
        now += ms;
      },
      slackMs: 0,
      unitMs: 10,
    };
  },
  { keepsValues: true, runs: 200 },
);
