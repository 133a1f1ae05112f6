import type { MigrationInterface, QueryRunner } from 'typeorm';
import { BANK_FUNCTIONS } from './ledger-1/bank';
import { COMMIT_FUNCTIONS } from './ledger-1/commit';
import { GIVING_BACK_FUNCTIONS } from './ledger-1/giving-back';
import { LAPSING_FUNCTIONS } from './ledger-1/lapsing';
import { REAPING_FUNCTIONS } from './ledger-1/reaping';
import { RESERVE_FUNCTIONS } from './ledger-1/reserve';
import { TABLES } from './ledger-1/tables';
import { UPKEEP_FUNCTIONS } from './ledger-1/upkeep';

const FUNCTIONS = [
  ...REAPING_FUNCTIONS,
  ...RESERVE_FUNCTIONS,
  ...COMMIT_FUNCTIONS,
  ...GIVING_BACK_FUNCTIONS,
  ...UPKEEP_FUNCTIONS,
  ...LAPSING_FUNCTIONS,
  ...BANK_FUNCTIONS,
];

/**
 * The ledger in PostgreSQL: tables, and a function for each operation. Like every migration it is
 * never changed once it is out: a function that must change is replaced by a later migration, with
 * its source in a folder of its own.
 */
export class CreateQuotaLedger1767225600004 implements MigrationInterface {
  readonly name = 'CreateQuotaLedger1767225600004';

  async up(queryRunner: QueryRunner): Promise<void> {
    for (const statement of TABLES) await queryRunner.query(statement);
    for (const { source } of FUNCTIONS) await queryRunner.query(source);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    for (const { name } of FUNCTIONS.toReversed()) {
      await queryRunner.query(`DROP FUNCTION ${name}`);
    }
    for (const table of ['folds', 'removals', 'versions', 'holds', 'entries']) {
      await queryRunner.query(`DROP TABLE quota_ledger_${table}`);
    }
    await queryRunner.query('DROP TABLE quota_ledger');
  }
}
