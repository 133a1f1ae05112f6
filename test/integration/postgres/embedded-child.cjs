// A process of its own with the embedded database open, for the tests to contend with and to kill.
// argv: folder. Prints a line once it is open, and one for each row that is committed.
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { transformSync } = require('@swc/core');
const { Client } = require('pg');

require.extensions['.ts'] = (module, file) => {
  const { code } = transformSync(readFileSync(file, 'utf8'), {
    filename: file,
    jsc: { target: 'es2023', parser: { syntax: 'typescript' } },
    module: { type: 'commonjs' },
  });
  module._compile(code, file);
};
const { EmbeddedPostgres } = require(join(__dirname, '../../../src/database/embedded-postgres.ts'));

const say = (line) => process.stdout.write(`${line}\n`);

async function main(folder) {
  say('starting');
  const server = await EmbeddedPostgres.start(folder);
  say('open');
  const client = new Client(server.address);
  await client.connect();
  await client.query('CREATE TABLE IF NOT EXISTS t (n bigserial)');
  process.on('SIGTERM', () => {
    client.removeAllListeners('error').on('error', () => undefined);
    server.close().then(() => process.exit(0));
  });
  for (;;) {
    const { rows } = await client.query('INSERT INTO t DEFAULT VALUES RETURNING n');
    say(`committed ${rows[0].n}`);
  }
}

main(process.argv[2]).catch((error) => {
  say(`failed ${error.name} ${error.message}`);
  process.exitCode = 1;
});
