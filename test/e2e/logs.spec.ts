import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { waitUntil } from '../support';
import { ADMIN_TOKEN } from './support/service';

jest.setTimeout(60_000);

const MB = 1_048_576;

interface Line {
  readonly level: number;
  readonly msg?: string;
  readonly [field: string]: unknown;
}

const LEVEL = { debug: 20, info: 30, warn: 40 };

let child: ChildProcess;
let output = '';
let url = '';

beforeAll(async () => {
  child = spawn(process.execPath, [join(__dirname, 'support/service-child.cjs')], {
    env: {
      ...{ PATH: String(process.env['PATH']), NODE_ENV: 'test', LOG_LEVEL: 'debug' },
      ...{ DATA_DIR: 'memory://', QUOTA_ENFORCEMENT_ENABLED: 'true', ADMIN_TOKEN },
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // As bytes, one character each: what a terminal gets.
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
  await waitUntil(() => /^listening \S+$/m.test(output), { timeoutMs: 30_000 });
  url = /^listening (\S+)$/m.exec(output)?.[1] ?? '';
}, 60_000);

afterAll(async () => {
  const ended = once(child, 'exit');
  child.kill();
  await ended;
});

/** Every line but the last, which may not be complete; one that is no JSON throws. */
function lines(): Line[] {
  const complete = output.split('\n').slice(0, -1);
  return complete
    .filter((line) => !line.startsWith('listening '))
    .map((line) => JSON.parse(line) as Line);
}

async function said(holds: (line: Line) => boolean): Promise<Line> {
  await waitUntil(() => lines().some(holds), { what: () => output.slice(-2_000) });
  return lines().find(holds)!;
}

async function put(tenant: string, key: string, bytes: number): Promise<number> {
  const init = { method: 'PUT', headers: { 'X-Tenant-ID': tenant }, body: Buffer.alloc(bytes) };
  const answer = await fetch(`${url}/cache/${key}`, init);
  await answer.text();
  return answer.status;
}

async function setQuota(tenant: string, quota: object): Promise<void> {
  const headers = { Authorization: `Bearer ${ADMIN_TOKEN}` };
  const init = { method: 'PUT', headers, body: JSON.stringify(quota) };
  expect((await fetch(`${url}/admin/quotas/${tenant}`, init)).ok).toBe(true);
}

it('tells of each event in one line, at its level, with its fields', async () => {
  await setQuota('acme', { quotaMb: 1, overageAllowed: true, overageLimitMb: 1 });
  await setQuota('shade', { quotaMb: 1, mode: 'shadow' });
  expect(await put('acme', 'a', 1_000)).toBe(201);
  expect(await put('acme', 'b', MB)).toBe(201);
  expect(await put('acme', 'c', MB)).toBe(429);
  expect(await put('shade', 'a', 1.5 * MB)).toBe(201);
  const fields = (
    tenantId: string,
    bytes: number,
    usedBytes: number,
    decision: string,
  ): object => ({
    ...{ tenantId, bytes, usedBytes, decision, source: 'memory' },
    ...{ limitBytes: expect.any(Number), durationMs: expect.any(Number), mode: expect.any(String) },
  });
  const event = (msg: string, tenantId: string): Promise<Line> =>
    said((line) => line.msg === msg && line['tenantId'] === tenantId);
  expect(await event('quota_changed', 'acme')).toMatchObject({ level: LEVEL.info, actor: 'admin' });
  expect(await event('quota_check', 'acme')).toMatchObject({
    level: LEVEL.debug,
    ...fields('acme', 1_000, 1_000, 'ALLOW'),
  });
  expect(await event('quota_warning', 'acme')).toMatchObject({
    level: LEVEL.info,
    ...fields('acme', MB, MB + 1_000, 'WARN'),
  });
  expect(await event('quota_exceeded', 'acme')).toMatchObject({
    level: LEVEL.warn,
    ...fields('acme', MB, MB + 1_000, 'REJECT'),
    mode: 'enforce',
    limitBytes: 2 * MB,
  });
  expect(await event('quota_shadow_rejection', 'shade')).toMatchObject({
    level: LEVEL.warn,
    mode: 'shadow',
    decision: 'REJECT',
  });
  const warnings = lines().filter(({ msg }) => msg === 'quota_exceeded');
  expect(warnings).toHaveLength(1);
});

it.each([
  ['a line break in the tenant', '/cache/k1', 'ac\rme\nquota_exceeded'],
  ['an escape sequence in the tenant', '/cache/k2', 'acme\x1b[2J'],
  ['a line separator and C1 controls in the tenant', '/cache/k3', 'acme\xe2\x80\xa8\x9b31m'],
  ['a very long tenant', '/cache/k4', 'a'.repeat(12_000)],
  ['a NUL and JSON in the tenant', '/cache/k5', 'a\0","level":60,"msg":"forged'],
  ['encoded line breaks in the key', '/cache/k6%0d%0a%7b%22level%22%3a60%7d', 'acme'],
  ['raw C1 controls in the key', '/cache/k7\x9b31m\xe2\x80\xa8', 'acme'],
  ['a very long key', `/cache/k8${'%e2%80%a8'.repeat(1_000)}`, 'acme'],
  ['quotes in the key', '/cache/k9"}\'{"level":60,"msg":"forged"}', 'acme'],
])('%s forges nothing', async (_name, path, tenant) => {
  const before = output.length;
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const head = `PUT ${path} HTTP/1.1\r\nHost: x\r\nX-Tenant-ID: ${tenant}\r\nConnection: close\r\n`;
  socket.on('error', () => undefined);
  socket.end(Buffer.from(`${head}Content-Length: 1\r\n\r\nx`, 'latin1'));
  socket.resume();
  await once(socket, 'close');
  // Another request, whose line comes after those of the first one.
  await put('after', `after-${String(before)}`, 1);
  await said(
    ({ req }) => (req as { url?: string } | undefined)?.url === `/cache/after-${String(before)}`,
  );
  const came = output.slice(before);
  expect(came).not.toMatch(/[^\x20-\x7e\n]/);
  expect(Math.max(...came.split('\n').map(({ length }) => length))).toBeLessThan(2_000);
  for (const line of lines()) expect([line.level, line.msg]).not.toEqual([60, 'forged']);
  expect(lines().some(({ msg }) => msg === 'forged')).toBe(false);
});
