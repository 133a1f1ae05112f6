import { PostgresQuotaStore } from '@app/quota';
import { createDataSource } from '../../src/database/data-source';
import { startPostgres } from '../support';
import { describeQuotaStore } from './quota-store.contract';

describeQuotaStore('PostgresQuotaStore on PostgreSQL', async () => {
  const server = await startPostgres();
  const databaseUrl = await server.createDatabase();
  const dataSource = await createDataSource({ databaseUrl, dataDir: 'unused' });
  return {
    store: new PostgresQuotaStore(dataSource),
    close: async () => {
      await dataSource.destroy();
      await server.stop();
    },
  };
});

describeQuotaStore('PostgresQuotaStore on PGlite', async () => {
  const dataSource = await createDataSource({ dataDir: 'memory://' });
  return {
    store: new PostgresQuotaStore(dataSource),
    close: () => dataSource.destroy(),
  };
});
