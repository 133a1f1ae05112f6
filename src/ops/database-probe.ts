import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { runStatement } from '../database/run-statement';

const DEADLINE_MS = 2_000;

/** Whether PostgreSQL answers. However many ask at once, one connection is taken for it. */
@Injectable()
export class DatabaseProbe {
  private asking: Promise<unknown> | undefined;

  constructor(private readonly dataSource: DataSource) {}

  /** @throws what the database answers, or that it did not in two seconds */
  async answers(): Promise<void> {
    const statement = { text: 'SELECT 1', values: [], deadlineMs: DEADLINE_MS };
    this.asking ??= runStatement(this.dataSource, statement).finally(() => {
      this.asking = undefined;
    });
    await this.asking;
  }
}
