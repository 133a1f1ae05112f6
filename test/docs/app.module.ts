// Code of README.md, checked by readme.spec.ts.
// #region app.module
import { Module, type OnApplicationShutdown } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Redis } from 'ioredis';
import { DataSource } from 'typeorm';
import {
  QuotaModule,
  quotaEntities,
  quotaMigrations,
  quotaPostgresOptions,
  quotaRedisOptions,
  tenantFromUser,
} from 'nestjs-cache-quota';
import { FilesController } from './files.controller';
import { FileStorage } from './file-storage';
import { ReportService } from './report.service';

@Module({
  providers: [
    {
      provide: Redis,
      useFactory: () =>
        new Redis(process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379', quotaRedisOptions),
    },
  ],
  exports: [Redis],
})
export class RedisModule implements OnApplicationShutdown {
  constructor(private readonly redis: Redis) {}

  onApplicationShutdown(): void {
    this.redis.disconnect();
  }
}

@Module({
  imports: [
    TypeOrmModule.forRoot({
      type: 'postgres',
      url: process.env['DATABASE_URL'] ?? 'postgres://postgres@127.0.0.1:5432/postgres',
      entities: [...quotaEntities], // and your own
      migrations: [...quotaMigrations],
      migrationsRun: true,
      extra: quotaPostgresOptions,
    }),
    QuotaModule.forRootAsync({
      imports: [RedisModule],
      inject: [Redis, DataSource],
      useFactory: (redis: Redis, dataSource: DataSource) => ({
        redis,
        dataSource,
        tenant: tenantFromUser('user.tenantId'),
      }),
    }),
  ],
  controllers: [FilesController],
  providers: [FileStorage, ReportService],
})
export class AppModule {}
// #endregion
