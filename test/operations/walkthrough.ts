import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, startPostgres, startRedis } from '../support';

/** In this order, in one shell. */
const PAGES = ['deployment', 'rollout-plan', 'runbook', 'upgrade'].map(
  (name) => `docs/operations/${name}.md`,
);
const LONGEST_MS = 360_000;
const SHOWN_LINES = 20;

/** What has to be in the output of a command, besides its success. */
const EXPECTED: readonly [command: RegExp, output: RegExp][] = [
  [/3002\/health\/ready/, /"status":"ok"/],
  [/\^quota_enforcement_mode/, /quota_enforcement_mode\{mode="off"\} 1/],
  [/plan acme starter/, /quota +100 MB/],
  [/rollout shadow/, /mode +shadow/],
  [/quota -- get globex/, /used +2\.86 MB, 143\.05 %/],
  [/rollout impact/, /globex +2 +1 +0/],
  [/simulate --limit 3/, /refused +0 of 0 tenants/],
  [/cache\/c /, /^429$/m],
  [/rollout everyone/, /percent +100 \(runtime\)/],
  [/rollout reset/, /enabled +false \(environment\)/],
  [/--latency/, /\d/],
  [/quota -- rollout off/, /mode +off/],
  [/--stores rollout off/, /mode +off/],
  [/curl .*quotas\/globex"$/, /"quotaMb":3,/],
  [/explain globex/, /decides +redis/],
  [/quotas\/globex\/changes/, /"action":"create"/],
  [/quotaMb": 500/, /"quotaMb":500,/],
  [/set globex --mode shadow/, /mode +shadow/],
  [/globex\/reconcile/, /"driftBytes":0/],
  [/evict globex/, /evicted +\d+ entries/],
  [/INFO memory/, /maxmemory_policy:noeviction/],
  [/pg_stat_activity/, /\(1 row\)/],
  [/reconcile acme globex/, /globex +0 +0/],
  [/WHERE pending/, /\(0 rows\)/],
  [/current_usage_bytes::float8/, /globex/],
  [/--limit 200 --overage 20/, /overage +20 MB/],
  [/BGSAVE/, /Background saving started/],
  [/migration:revert/, /has been reverted successfully/],
];

/** The commands of a page: each line of its boxes for a shell. */
function commandsOf(page: string): string[] {
  const boxes = [...readFileSync(page, 'utf8').matchAll(/^ *```sh\n(.*?)^ *```/gms)];
  const lines = boxes.flatMap(([, text = '']) => text.split('\n').map((line) => line.trim()));
  return lines.filter((line) => line !== '');
}

/** Was run, or this could not. */
const INSTALL = 'npm ci';

/** Commands of clients that are not installed, done by the drivers of the tests. */
const STAND_INS = {
  psql: `#!/usr/bin/env node
const { Client } = require('${join(process.cwd(), 'node_modules/pg')}');
const [url, , text] = process.argv.slice(2);
const client = new Client({ connectionString: url });
client.connect().then(() => client.query(text)).then(({ rows }) => {
  for (const row of rows) console.log(Object.values(row).join(' | '));
  console.log('(' + rows.length + ' row' + (rows.length === 1 ? '' : 's') + ')');
  return client.end();
});
`,
};

async function standIns(folder: string): Promise<void> {
  for (const [name, text] of Object.entries(STAND_INS)) {
    if (spawnSync(name, ['--version']).status === 0) continue;
    await writeFile(join(folder, name), text, { mode: 0o755 });
    process.stdout.write(`no ${name} here: its commands go by the driver of the tests\n`);
  }
}

/** Migrations tell of each of their statements. */
function lastOf(text: string): string {
  const lines = text.trimEnd().split('\n');
  return lines.length > SHOWN_LINES
    ? `…\n${lines.slice(-SHOWN_LINES).join('\n')}\n`
    : `${lines.join('\n')}\n`;
}

/** One shell for all, so that what is exported stays; it ends what it has started. */
function scriptOf(commands: readonly string[]): string {
  const steps = commands.map((command, n) => `printf '\\n@@ ${n} %s\\n' "$SECONDS"\n${command}`);
  return [
    'set -euo pipefail',
    "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT",
    ...steps,
  ].join('\n');
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'quota-operations-'));
  const [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
  await standIns(folder);
  const shown = PAGES.flatMap(commandsOf).filter((command) => command !== INSTALL);
  const database = await postgres.createDatabase();
  const [one, two] = [await freePort(), await freePort()];
  const commands = shown.map((command) =>
    command
      .replace('redis://127.0.0.1:6379', redis.url)
      .replace('postgres://quota:quota@127.0.0.1:5432/quota', database)
      .replaceAll('3001', String(one))
      .replaceAll('3002', String(two))
      .replace(/(quota-(?:\d\.log|backup\.sql))/, join(folder, '$1')),
  );
  try {
    const { output, code } = await shell(scriptOf(commands), folder);
    const parts = output.split(/^@@ \d+ (\d+)\n/m);
    shown.forEach((command, n) => {
      const [seconds, text] = [parts[2 * n + 1], parts[2 * n + 2] ?? ''];
      process.stdout.write(`[${String(seconds)}s] $ ${command}\n${lastOf(text)}`);
    });
    const wrong = EXPECTED.flatMap(([command, expected]) => {
      const n = shown.findIndex((line) => command.test(line));
      const said = parts[2 * n + 2] ?? '';
      return n >= 0 && expected.test(said)
        ? []
        : [`${String(command)}: ${String(expected)} not in: ${said}`];
    });
    if (code !== 0)
      wrong.push(`a command failed with ${String(code)}: ${shown[(parts.length - 3) / 2] ?? ''}`);
    process.exitCode = wrong.length > 0 ? 1 : 0;
    process.stdout.write(
      wrong.length > 0
        ? `docs/operations is wrong:\n${wrong.join('\n')}\n`
        : `ok: ${shown.length} commands of docs/operations\n`,
    );
  } finally {
    await Promise.all([redis.stop(), postgres.stop()]);
    await rm(folder, { recursive: true, force: true });
  }
}

async function shell(
  script: string,
  tools: string,
): Promise<{ output: string; code: number | null }> {
  const child = spawn('bash', ['-c', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LONGEST_MS,
    env: { PATH: `${tools}:${String(process.env['PATH'])}`, HOME: process.env['HOME'] },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  }
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { output, code };
}

void main();
