import { quotaEntities, quotaMigrations, quotaPostgresOptions } from '@app/quota';
import { join } from 'node:path';
import { DataSource, MigrationExecutor, type Migration, type QueryRunner } from 'typeorm';
import { CacheEntry } from '../cache/cache-entry.entity';
import {
  EMBEDDED_POOL,
  EmbeddedPostgres,
  IN_MEMORY,
  type EmbeddedAddress,
} from './embedded-postgres';
import { migrations } from './migrations';

export interface DatabaseSettings {
  /** A PostgreSQL server; absent: the embedded one. */
  readonly databaseUrl?: string | undefined;
  /** Folder below which the embedded database is kept, or `memory://` for none. */
  readonly dataDir: string;
}

/** Any number that nobody else uses for an advisory lock in this database. */
const MIGRATION_LOCK = 7_110_842_117;

/**
 * Values of 100 MB need longer than quotas, which the library sees to by itself. Short deadlines for
 * short statements are set where those are made; these are the last resort.
 */
const APP_POOL = {
  ...quotaPostgresOptions,
  statement_timeout: 40_000,
  query_timeout: 45_000,
} as const;

/**
 * For values, apart from the one above, so that large ones on their way and quotas do not wait for
 * each other's connections.
 */
const VALUE_POOL = { ...APP_POOL, max: 6 } as const;

/**
 * For migrations: no end to a statement, since one on a large table takes its time, but one to
 * waiting for a lock, be it another instance's migrations or a table in use.
 */
const MIGRATION_POOL = {
  connectionTimeoutMillis: 5_000,
  lock_timeout: 60_000,
  keepAlive: true,
  max: 1,
} as const;

/**
 * For the look whether any are pending, which most starts end with: a server behind a link that hangs
 * must not keep one for ever.
 */
const LOOK_POOL = { ...MIGRATION_POOL, query_timeout: 10_000 } as const;

/** Options of pg that say which database. */
type Target = { readonly connectionString: string } | (EmbeddedAddress & typeof EMBEDDED_POOL);

interface ConnectionPool {
  on(
    event: 'connect',
    listener: (client: { on(event: 'error', listener: () => void): unknown }) => void,
  ): unknown;
}

/** The application's database: migrations one instance at a time, and the embedded server's end. */
export class AppDataSource extends DataSource {
  constructor(
    database: Target,
    pool: typeof APP_POOL | typeof VALUE_POOL | typeof MIGRATION_POOL | typeof LOOK_POOL,
    /** What ends with this DataSource. */
    private readonly owned?: EmbeddedPostgres | undefined,
  ) {
    super({
      type: 'postgres',
      entities: [...quotaEntities, CacheEntry],
      migrations: [...quotaMigrations, ...migrations],
      // pg reads the URL itself: TypeORM's own reading of it drops parameters like sslmode.
      extra: { ...pool, ...database },
    });
  }

  /**
   * Each connection has a listener from its birth: between the pool's giving a new one and its being
   * taken nobody listens, and a server that says goodbye in the packet of its greeting, as one that
   * shuts down does, would end the process.
   */
  override async initialize(): Promise<this> {
    await super.initialize();
    const { master } = this.driver as unknown as { readonly master: ConnectionPool };
    master.on('connect', (client) => client.on('error', () => undefined));
    return this;
  }

  /** Runs what is pending, all in one transaction, while other instances wait. */
  override async runMigrations(): Promise<Migration[]> {
    return this.alone((executor) => executor.executePendingMigrations());
  }

  override async undoLastMigration(): Promise<void> {
    await this.alone((executor) => executor.undoLastMigration());
  }

  override async destroy(): Promise<void> {
    try {
      await super.destroy();
    } finally {
      await this.owned?.close();
    }
  }

  private async alone<T>(work: (executor: MigrationExecutor) => Promise<T>): Promise<T> {
    const queryRunner: QueryRunner = this.createQueryRunner();
    try {
      await queryRunner.startTransaction();
      await queryRunner.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
      const result = await work(new MigrationExecutor(this, queryRunner));
      await queryRunner.commitTransaction();
      return result;
    } catch (error) {
      await queryRunner.rollbackTransaction().catch(() => undefined);
      throw error;
    } finally {
      await queryRunner.release();
    }
  }
}

/**
 * Opens the database, brings its tables up to date and connects.
 *
 * @throws DataFolderInUseError, or what pg says when the server cannot be used.
 */
export async function createDataSource(settings: DatabaseSettings): Promise<DataSource> {
  const { database, embedded } = await open(settings);
  try {
    await migrate(database);
    return await new AppDataSource(database, APP_POOL, embedded).initialize();
  } catch (error) {
    await embedded?.close();
    throw error;
  }
}

/** A second pool on a server whose tables are up to date. @throws what pg says when it cannot be used. */
export function createValueDataSource(databaseUrl: string): Promise<DataSource> {
  return new AppDataSource({ connectionString: databaseUrl }, VALUE_POOL).initialize();
}

/** For TypeORM's command line: not connected yet, and with all the time migrations may need. */
export async function createMigrationDataSource(settings: DatabaseSettings): Promise<DataSource> {
  const { database, embedded } = await open(settings);
  return new AppDataSource(database, MIGRATION_POOL, embedded);
}

async function open({ databaseUrl, dataDir }: DatabaseSettings): Promise<{
  database: Target;
  embedded?: EmbeddedPostgres;
}> {
  if (databaseUrl !== undefined) return { database: { connectionString: databaseUrl } };
  const folder = dataDir === IN_MEMORY ? IN_MEMORY : join(dataDir, 'pglite');
  const embedded = await EmbeddedPostgres.start(folder);
  return { database: { ...embedded.address, ...EMBEDDED_POOL }, embedded };
}

/** On connections of its own, without the limits that requests have, and only when there is need. */
async function migrate(database: Target): Promise<void> {
  const pending = await using(new AppDataSource(database, LOOK_POOL), (dataSource) =>
    new MigrationExecutor(dataSource).getPendingMigrations(),
  );
  if (pending.length === 0) return;
  await using(new AppDataSource(database, MIGRATION_POOL), (dataSource) =>
    dataSource.runMigrations(),
  );
}

async function using<T>(
  dataSource: AppDataSource,
  work: (dataSource: AppDataSource) => Promise<T>,
): Promise<T> {
  await dataSource.initialize();
  try {
    return await work(dataSource);
  } finally {
    await dataSource.destroy();
  }
}
