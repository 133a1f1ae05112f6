import {
  PostgresQuotaBank,
  PostgresUsageTracker,
  QuotaUnavailableError,
  quotaEntities,
  quotaPostgresOptions,
} from '@app/quota';
import { randomUUID } from 'node:crypto';
import { DataSource } from 'typeorm';
import { createDataSource } from '../../../src/database/data-source';
import { Scene } from '../../contract/usage-tracker/scene';
import { startPostgres, waitUntil } from '../../support';

/** A server, two processes' pools with their banks and trackers, and one for looking on. */
export async function startStage() {
  const server = await startPostgres();
  const url = await server.createDatabase();
  const probe = await createDataSource({ databaseUrl: url, dataDir: 'unused' });
  const connect = (extra: object = {}) =>
    new DataSource({
      type: 'postgres',
      entities: quotaEntities,
      extra: { ...quotaPostgresOptions, connectionString: url, ...extra },
    }).initialize();
  const sources = [await connect(), await connect()];
  const defects: string[] = [];
  const options = {
    onDefect: (operation: string, tenant: string) => defects.push(`${operation} of ${tenant}`),
  };
  const trackers = sources.map((source) => new PostgresUsageTracker(source, options));
  const banks = sources.map((source) => new PostgresQuotaBank(source, options));
  return {
    probe,
    trackers,
    banks,
    bank: banks[0]!,
    connect,
    defects,
    scene: (hardBytes = 100, quotaBytes = hardBytes) =>
      new Scene(trackers[0]!, `t-${randomUUID()}`, { quotaBytes, hardBytes }),
    close: async () => {
      for (const source of [...sources, probe]) await source.destroy();
      await server.stop();
    },
  };
}

export type BankStage = Awaited<ReturnType<typeof startStage>>;

/** Sends it while somebody holds the tenant's row, ends its session, and lets the row go. */
export async function cutOff(
  probe: DataSource,
  tenant: string,
  send: () => Promise<unknown>,
): Promise<void> {
  const runner = probe.createQueryRunner();
  await runner.startTransaction();
  await runner.query('SELECT 1 FROM quota_ledger WHERE tenant_id = $1 FOR UPDATE', [tenant]);
  try {
    const failure = send().then(
      () => 'answered',
      (error: unknown) => error,
    );
    let pid = 0;
    await waitUntil(async () => {
      const rows = await probe.query<{ pid: number }[]>(
        `SELECT pid FROM pg_stat_activity
         WHERE wait_event_type = 'Lock' AND query LIKE '%quota_ledger_%'`,
      );
      pid = rows[0]?.pid ?? 0;
      return pid > 0;
    });
    await probe.query('SELECT pg_terminate_backend($1)', [pid]);
    const error = await failure;
    expect(error).toBeInstanceOf(QuotaUnavailableError);
    expect((error as QuotaUnavailableError).applied).toBe('unknown');
  } finally {
    await runner.rollbackTransaction();
    await runner.release();
  }
}
