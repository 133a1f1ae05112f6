import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, startPostgres, startRedis } from '../support';

const PAGES = ['docs/operations/deployment.md', 'docs/operations/rollout-plan.md'];
const LONGEST_MS = 240_000;
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
];

/** The commands of a page: each line of its boxes for a shell. */
function commandsOf(page: string): string[] {
  const boxes = [...readFileSync(page, 'utf8').matchAll(/^```sh\n(.*?)^```/gms)];
  return boxes.flatMap(([, text = '']) => text.split('\n').filter((line) => line.trim() !== ''));
}

/** `npm ci` was run, or this could not. */
const INSTALLED = 'npm ci';

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
  return ['set -euo pipefail', "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT", ...steps].join(
    '\n',
  );
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'quota-operations-'));
  const [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
  const shown = PAGES.flatMap(commandsOf).filter((command) => command !== INSTALLED);
  const database = await postgres.createDatabase();
  const [one, two] = [await freePort(), await freePort()];
  const commands = shown.map((command) =>
    command
      .replace('redis://127.0.0.1:6379', redis.url)
      .replace('postgres://quota:quota@127.0.0.1:5432/quota', database)
      .replaceAll('3001', String(one))
      .replaceAll('3002', String(two))
      .replace(/(quota-\d\.log)/, join(folder, '$1')),
  );
  try {
    const { output, code } = await shell(scriptOf(commands));
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

async function shell(script: string): Promise<{ output: string; code: number | null }> {
  const child = spawn('bash', ['-c', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LONGEST_MS,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  }
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { output, code };
}

void main();
