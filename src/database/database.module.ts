import { Module } from '@nestjs/common';
import { TypeOrmModule, type TypeOrmModuleOptions } from '@nestjs/typeorm';
import { SettingsModule } from '../config/settings.module';
import type { Settings } from '../config/settings.schema';
import { createDataSource, type DatabaseSettings } from './data-source';

/** How often and how far apart, in ms, a server that is on its way up is tried. */
const ATTEMPTS = 15;
const ATTEMPT_MS = 1_000;

/** Trouble of the network, and the server's own "starting up" and "shutting down". */
const TRANSIENT = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EHOSTUNREACH'],
  ...['57P01', '57P02', '57P03'],
]);

/**
 * The DataSource, connected and migrated, for injection anywhere. It ends with the application, and
 * the embedded server with it.
 */
@Module({
  imports: [
    TypeOrmModule.forRootAsync({
      inject: [SettingsModule.TOKEN],
      useFactory: ({ DATABASE_URL, DATA_DIR }: Settings): TypeOrmModuleOptions => ({
        type: 'postgres',
        extra: { databaseUrl: DATABASE_URL, dataDir: DATA_DIR } satisfies DatabaseSettings,
        retryAttempts: ATTEMPTS,
        retryDelay: ATTEMPT_MS,
        toRetry: isTransient,
      }),
      dataSourceFactory: async (options) => {
        const { extra } = options as { extra: DatabaseSettings };
        return createDataSource(extra);
      },
    }),
  ],
})
export class DatabaseModule {}

function isTransient(error: unknown): boolean {
  return TRANSIENT.has(String((error as { code?: unknown } | null)?.code));
}
