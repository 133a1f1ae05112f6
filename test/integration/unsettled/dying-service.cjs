// The service as a process of its own that kills itself, with SIGKILL, at the point that KILL_AT names,
// once a request has come for a key that begins with "fatal"; at "stored late" it goes on. Otherwise as test/e2e/support/service-child.cjs.
const { join } = require('node:path');
require('../../support/swc-hook.cjs');

const ROOT = join(__dirname, '../../..');

require('reflect-metadata');
const { PostgresEntryRepository } = require(join(ROOT, 'src/cache/postgres-entry-repository.ts'));
const { createApp } = require(join(ROOT, 'src/bootstrap.ts'));
const { parseSettings } = require(join(ROOT, 'src/config/settings.ts'));

/** Once this has answered, the storage has it and the ledger has not heard of it yet. */
const method = {
  'stored, not committed': 'put',
  'stored late, not committed': 'put',
  'stored late': 'put',
  'deleted, not told': 'delete',
}[process.env.KILL_AT];
if (method !== undefined) {
  const real = PostgresEntryRepository.prototype[method];
  PostgresEntryRepository.prototype[method] = async function (tenant, key, ...rest) {
    const fatal = key.startsWith('fatal');
    if (fatal && process.env.KILL_AT.startsWith('stored late')) {
      process.stdout.write('reserved\n');
      await new Promise((resolve) => process.stdin.once('data', resolve));
    }
    const done = await real.call(this, tenant, key, ...rest);
    if (fatal && process.env.KILL_AT !== 'stored late') {
      process.kill(process.pid, 'SIGKILL');
      await new Promise(() => undefined);
    }
    return done;
  };
}

async function main() {
  const app = await createApp(parseSettings(process.env));
  await app.listen(0, '127.0.0.1');
  process.stdout.write(`listening ${await app.getUrl()}\n`);
}

main().catch((error) => {
  process.stdout.write(`failed ${error.stack}\n`);
  process.exitCode = 1;
});
