// The DataSource of TypeORM's command line: npm run migration:run | migration:revert | migration:generate
import { existsSync } from 'node:fs';
import { createMigrationDataSource } from './src/database/data-source';

if (existsSync('.env')) process.loadEnvFile();

/** Blank counts as unset, as in the service. */
const setting = (name: string): string | undefined =>
  process.env[name] === '' ? undefined : process.env[name];

// A promise: TypeORM awaits it.
export default createMigrationDataSource({
  databaseUrl: setting('DATABASE_URL'),
  dataDir: setting('DATA_DIR') ?? '.data',
});
