import { PostgresUsageTracker } from '@app/quota';
import { randomUUID } from 'node:crypto';
import { DATABASES } from '../integration/postgres/databases';
import { describeUsageTracker } from './usage-tracker.contract';

const TABLES = ['', '_entries', '_holds', '_versions', '_removals', '_folds'];

describe.each(DATABASES)('on %s', (_name, open) => {
  describeUsageTracker(
    'PostgresUsageTracker',
    async () => {
      const { dataSource, close } = await open();
      const query = dataSource.query.bind(dataSource);
      return {
        tracker: new PostgresUsageTracker(dataSource, {
          waitMs: 30_000,
          onDefect: (operation, tenant, count) => {
            throw new Error(`${String(count)} sums below zero after ${operation} of ${tenant}`);
          },
        }),
        freshTenant: () => `t-${randomUUID()}`,
        hasState: async (tenant) => {
          for (const table of TABLES) {
            const rows = await query<unknown[]>(
              `SELECT 1 FROM quota_ledger${table} WHERE tenant_id = $1`,
              [tenant],
            );
            if (rows.length > 0) return true;
          }
          return false;
        },
        skewCommitted: async (tenant, delta) => {
          await query('UPDATE quota_ledger SET committed = committed + $2 WHERE tenant_id = $1', [
            tenant,
            delta,
          ]);
        },
        close,
      };
    },
    // Its functions are of migrations, and the bank's decisions are few.
    { keepsValues: false, saysGrowth: false },
  );
});
