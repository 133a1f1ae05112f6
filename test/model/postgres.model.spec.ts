import { PostgresUsageTracker } from '@app/quota';
import { randomUUID } from 'node:crypto';
import { createDataSource } from '../../src/database/data-source';
import { startPostgres } from '../support';
import { describeLedgerModel } from './usage-tracker.model';

describeLedgerModel(
  'PostgresUsageTracker',
  async () => {
    const server = await startPostgres();
    const databaseUrl = await server.createDatabase();
    const dataSource = await createDataSource({ databaseUrl, dataDir: 'unused' });
    return {
      tracker: new PostgresUsageTracker(dataSource, {
        onDefect: (operation, tenant, count) => {
          throw new Error(`${String(count)} sums below zero after ${operation} of ${tenant}`);
        },
      }),
      freshTenant: () => `t-${randomUUID()}`,
      // The server's clock and ours are the same one; the ledger counts whole milliseconds.
      now: () => performance.now(),
      advance: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      slackMs: 3,
      unitMs: 60,
      close: async () => {
        await dataSource.destroy();
        await server.stop();
      },
    };
  },
  { keepsValues: false, runs: 40, timeoutMs: 590_000 },
);
