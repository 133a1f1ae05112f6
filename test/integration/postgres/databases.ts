import { createDataSource } from '../../../src/database/data-source';
import type { DataSource } from 'typeorm';
import { startPostgres } from '../../support';

export interface TestDatabase {
  readonly dataSource: DataSource;
  close(): Promise<void>;
}

/** What the suites run on: a server, and the embedded default. Migrated, and empty. */
export const DATABASES: readonly [string, () => Promise<TestDatabase>][] = [
  [
    'PostgreSQL 18',
    async () => {
      const server = await startPostgres();
      const dataSource = await createDataSource({
        databaseUrl: await server.createDatabase(),
        dataDir: 'unused',
      });
      return {
        dataSource,
        close: async () => {
          await dataSource.destroy();
          await server.stop();
        },
      };
    },
  ],
  [
    'PGlite',
    async () => {
      const dataSource = await createDataSource({ dataDir: 'memory://' });
      return { dataSource, close: () => dataSource.destroy() };
    },
  ],
];
