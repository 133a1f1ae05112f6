// The library in a process that does not find @opentelemetry/api, as where it was never installed.
// Prints what became of one write.
require('../../support/swc-hook.cjs');
const Module = require('node:module');

const resolve = Module._resolveFilename;
let asked = 0;
Module._resolveFilename = function (request, ...rest) {
  if (request.startsWith('@opentelemetry/')) {
    asked += 1;
    const error = new Error(`Cannot find module '${request}'`);
    error.code = 'MODULE_NOT_FOUND';
    throw error;
  }
  return resolve.call(this, request, ...rest);
};

require('reflect-metadata');
const { NestFactory } = require('@nestjs/core');
const { QuotaChecker, QuotaModule } = require('@app/quota');

async function main() {
  const module = QuotaModule.forRoot({ defaultQuotaMb: 1 });
  const app = await NestFactory.createApplicationContext(module, { logger: false });
  const write = { tenant: 'acme', key: 'k', bytes: 5 };
  const { decision } = await app.get(QuotaChecker).run(write, async () => 5);
  const { usedBytes } = await app.get(QuotaChecker).status('acme');
  await app.close();
  process.stdout.write(JSON.stringify({ asked, decision, usedBytes }));
}

main().catch((error) => {
  process.stdout.write(`failed ${error.stack}\n`);
  process.exitCode = 1;
});
