import type { OnApplicationShutdown } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { Settings } from '../config/settings.schema';
import { createValueDataSource } from '../database/data-source';

/** Where values are, when they are in PostgreSQL: on connections of their own, but for an embedded one. */
export class ValueDatabase implements OnApplicationShutdown {
  private constructor(
    readonly dataSource: DataSource,
    /** It is in this process, and has one connection. */
    readonly embedded: boolean,
    private readonly own: boolean,
  ) {}

  /** @param shared the application's, which is up to date by now */
  static async open(
    { CACHE_STORE, DATABASE_URL }: Settings,
    shared: DataSource,
  ): Promise<ValueDatabase> {
    if (DATABASE_URL === undefined) return new ValueDatabase(shared, true, false);
    if (CACHE_STORE !== 'postgres') return new ValueDatabase(shared, false, false);
    return new ValueDatabase(await createValueDataSource(DATABASE_URL), false, true);
  }

  async onApplicationShutdown(): Promise<void> {
    if (this.own) await this.dataSource.destroy();
  }
}
