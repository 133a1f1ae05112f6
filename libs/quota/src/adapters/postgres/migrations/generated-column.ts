import type { QueryRunner } from 'typeorm';

/**
 * TypeORM compares generated columns with what it once wrote into a table of its own, since
 * PostgreSQL gives expressions back in another form. Without this line `migration:generate` would
 * want to make the column anew each time.
 */
export async function rememberGenerated(
  queryRunner: QueryRunner,
  column: { table: string; name: string; expression: string },
): Promise<void> {
  if (!(await hasMetadataTable(queryRunner))) return;
  await queryRunner.query(
    `INSERT INTO typeorm_metadata ("type", "database", "schema", "table", "name", "value")
     VALUES ('GENERATED_COLUMN', current_database(), current_schema(), $1, $2, $3)`,
    [column.table, column.name, column.expression],
  );
}

/** Takes back {@link rememberGenerated} for all columns of a table. */
export async function forgetGenerated(queryRunner: QueryRunner, table: string): Promise<void> {
  if (!(await hasMetadataTable(queryRunner))) return;
  await queryRunner.query(
    `DELETE FROM typeorm_metadata
     WHERE "type" = 'GENERATED_COLUMN' AND "database" = current_database()
       AND "schema" = current_schema() AND "table" = $1`,
    [table],
  );
}

/** It is there when the DataSource knows an entity with a generated column. */
async function hasMetadataTable(queryRunner: QueryRunner): Promise<boolean> {
  const rows: unknown = await queryRunner.query(
    `SELECT 1 FROM information_schema.tables
     WHERE table_schema = current_schema() AND table_name = 'typeorm_metadata'`,
  );
  return Array.isArray(rows) && rows.length > 0;
}
