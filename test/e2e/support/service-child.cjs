// The service as a process of its own, from the sources, to be sent signals. Settings come from the
// environment; prints its URL once it listens. It has one route more than `npm start`: PUT
// /probe/:key?ms=N, which takes its time between its reservation and its end.
const { join } = require('node:path');
require('../../support/swc-hook.cjs');

const ROOT = join(__dirname, '../../..');

require('reflect-metadata');
const { createApp } = require(join(ROOT, 'src/bootstrap.ts'));
const { parseSettings } = require(join(ROOT, 'src/config/settings.ts'));
const { SlowModule } = require(join(__dirname, 'slow.module.ts'));

async function main() {
  const app = await createApp(parseSettings(process.env), [SlowModule]);
  // As src/main.ts does.
  app.enableShutdownHooks([], { useProcessExit: true });
  await app.listen(0, '127.0.0.1');
  process.stdout.write(`listening ${await app.getUrl()}\n`);
}

main().catch((error) => {
  process.stdout.write(`failed ${error.stack}\n`);
  process.exitCode = 1;
});
