// Starts the built application as `npm start` does, embedded, and makes one write. Finds what
// only a build can break: a missing asset, an alias that Node does not know.
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../dist/src/main.js', import.meta.url));
const READY_MS = 60_000;
const EXIT_MS = 15_000;
const REQUEST_MS = 10_000;

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

function expect(what, actual, expected) {
  if (actual !== expected) {
    throw new Error(`${what}: expected ${expected}, got ${actual}`);
  }
  console.log(`ok: ${what} is ${actual}`);
}

async function untilReady(base, app) {
  const deadline = Date.now() + READY_MS;
  let last = 'no answer';
  while (Date.now() < deadline) {
    if (app.exitCode !== null || app.signalCode) {
      throw new Error(`the application ended at start: ${app.exitCode ?? app.signalCode}`);
    }
    try {
      const response = await fetch(`${base}/health/ready`, { signal: AbortSignal.timeout(2_000) });
      last = `${response.status} ${await response.text()}`;
      if (response.status === 200) {
        return;
      }
    } catch (error) {
      last = String(error.cause ?? error);
    }
    await sleep(100);
  }
  throw new Error(`not ready after ${READY_MS} ms; last: ${last}`);
}

async function check(base, app, ended) {
  await untilReady(base, app);
  console.log('ok: ready');
  const response = await fetch(`${base}/cache/hello`, {
    method: 'PUT',
    headers: { 'X-Tenant-ID': 'starter', 'Content-Type': 'application/octet-stream' },
    body: 'hello',
    signal: AbortSignal.timeout(REQUEST_MS),
  });
  await response.text();
  expect('status of PUT /cache/hello', response.status, 201);
  expect('X-Cache-Quota-Status', response.headers.get('x-cache-quota-status'), 'ok');
  // It comes after the server listens, so that a first request may be faster.
  const line = () => output.includes(`curl -i -X PUT 'http://localhost:${port}/cache/`);
  for (let waited = 0; !line() && waited < REQUEST_MS; waited += 50) await sleep(50);
  expect('a line to copy printed at start', line(), true);
  app.kill('SIGTERM');
  const exit = await Promise.race([ended, sleep(EXIT_MS, 'still running', { ref: false })]);
  expect('exit after SIGTERM', exit, 0);
}

const port = await freePort();
// A folder of its own: neither somebody's .env nor data of an earlier run may help.
const cwd = await mkdtemp(join(tmpdir(), 'quota-smoke-'));
const env = { ...process.env, PORT: String(port) };
delete env.REDIS_URL;
delete env.DATABASE_URL;
const app = spawn(process.execPath, [MAIN], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
let output = '';
for (const stream of [app.stdout, app.stderr]) {
  stream.on('data', (chunk) => (output = (output + chunk).slice(-8_192)));
}
const ended = new Promise((resolve) => {
  app.once('close', (code, signal) => resolve(code ?? signal));
});

try {
  await check(`http://127.0.0.1:${port}`, app, ended);
} catch (error) {
  console.error(`smoke start failed: ${error.message}\n--- output of the application\n${output}`);
  process.exitCode = 1;
} finally {
  app.kill('SIGKILL');
  await ended;
  await rm(cwd, { recursive: true, force: true });
}
