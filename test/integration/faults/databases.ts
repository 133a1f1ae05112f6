import { Client } from 'pg';
import { createDataSource } from '../../../src/database/data-source';
import type { PostgresServer } from '../../support';

/** URLs of so many databases: one is migrated, the others are copies of it. */
export async function migratedDatabases(
  postgres: PostgresServer,
  count: number,
): Promise<string[]> {
  const first = await postgres.createDatabase();
  const source = await createDataSource({ databaseUrl: first, dataDir: 'unused' });
  await source.destroy();
  const name = new URL(first).pathname.slice(1);
  const client = new Client({ connectionString: postgres.url });
  await client.connect();
  try {
    const urls = [first];
    for (let n = 1; n < count; n += 1) {
      await client.query(`CREATE DATABASE "${name}_${n}" TEMPLATE "${name}"`);
      urls.push(first.replace(name, `${name}_${n}`));
    }
    return urls;
  } finally {
    await client.end();
  }
}
