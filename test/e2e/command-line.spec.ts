import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort, waitUntil } from '../support';
import { runWith, type End } from './support/command-line';
import { ADMIN_TOKEN, MB, Service } from './support/service';
import { Servers } from './support/stacks';

jest.setTimeout(60_000);

let servers: Servers;
let service: Service;

beforeAll(async () => {
  servers = await Servers.start();
  const stores = await servers.settings({ adapter: 'express', stores: 'redis' });
  service = await Service.start({ ...stores, QUOTA_ENFORCEMENT_ENABLED: '' });
});
afterAll(async () => {
  await service.stop();
  await servers.stop();
});
beforeEach(async () => {
  await quota('rollout', 'everyone');
});

const quota = (...args: string[]): Promise<End> =>
  runWith({ ADMIN_TOKEN }, ['--url', service.url, ...args]);

async function json(...args: string[]): Promise<unknown> {
  const { code, out, err } = await quota('--json', ...args);
  expect([code, err]).toEqual([0, '']);
  return JSON.parse(out) as unknown;
}

/** Every command of the documentation that goes to a service, in its order. */
const DOCUMENTED = [
  ...readFileSync('docs/command-line.md', 'utf8').matchAll(/^npm run quota -- (.+)$/gm),
]
  .map(([, line]) => line!.trim())
  // Those are run by command-line-stores.spec.ts.
  .filter((line) => !/^--(stores|redis) /.test(line));

it('does all that its documentation shows', async () => {
  expect(DOCUMENTED.length).toBeGreaterThan(20);
  for (const line of DOCUMENTED) {
    const { code, out, err } = await quota(...line.split(' '));
    expect([line, code, err]).toEqual([line, 0, '']);
    if (!/^(list|usage|rollout history)/.test(line)) expect(out).not.toBe('');
  }
});

it('sets, shows and lists, for people and for scripts', async () => {
  expect(await json('set', 'sets', '--limit', '10', '--overage', '2')).toMatchObject({
    ...{ tenantId: 'sets', quotaMb: 10, overageAllowed: true, overageLimitMb: 2, version: 1 },
  });
  // What is not named stays.
  expect(await json('set', 'sets', '--mode', 'shadow')).toMatchObject({
    ...{ quotaMb: 10, overageAllowed: true, mode: 'shadow', version: 2 },
  });
  expect(await json('set', 'sets', '--mode', 'inherit', '--no-overage')).toMatchObject({
    ...{ overageAllowed: false, mode: null },
  });
  expect(await json('plan', 'sets', 'pro')).toMatchObject({ quotaMb: 500, plan: 'pro' });
  await quota('set', 'sets', '--limit', '10', '--no-overage');
  await service.fetch('/cache/a', {
    method: 'PUT',
    headers: { 'X-Tenant-ID': 'sets' },
    body: Buffer.alloc(9 * MB),
  });
  const { out } = await quota('get', 'sets');
  expect(out).toContain('quota     10 MB');
  expect(out).toContain('9 MB, 90 %  ##################..|');
  const { out: list } = await quota('list');
  expect(list).toMatch(/tenant +quota MB +overage MB/);
  expect(list).toMatch(/sets +10 +0 +- +inherit +9 +90 +#{18}\.\.\|/);
  expect(await json('explain', 'sets')).toMatchObject({ tenantId: 'sets', decides: 'redis' });
});

it('changes nothing when somebody else was faster', async () => {
  await quota('set', 'races', '--limit', '10');
  await quota('set', 'races', '--limit', '11');
  const { code, err } = await quota('set', 'races', '--limit', '12', '--expect', '1');
  expect(code).toBe(4);
  expect(err).toContain('version');
  expect(await json('get', 'races')).toMatchObject({ quotaMb: 11 });
});

it('moves a rollout, and says who did', async () => {
  expect(await json('rollout', 'percent', '12.5')).toMatchObject({
    percent: 12.5,
    mode: 'enforce',
  });
  expect(await json('rollout', 'tenants', 'a,b')).toMatchObject({ tenants: ['a', 'b'] });
  expect(await json('rollout', 'shadow')).toMatchObject({ logOnly: true, mode: 'shadow' });
  expect(await json('rollout', 'off')).toMatchObject({ enabled: false, mode: 'off' });
  const { out } = await quota('rollout');
  expect(out).toMatch(/enabled +false \(runtime\)/);
  const history = (await json('rollout', 'history', '--max', '2')) as unknown[];
  expect(history).toHaveLength(2);
  await quota('rollout', 'reset');
});

it('evicts until the target is reached, and what is used is exact afterwards', async () => {
  await quota('set', 'full', '--limit', '10', '--no-overage');
  for (let n = 0; n < 9; n += 1) {
    const options = { method: 'PUT', headers: { 'X-Tenant-ID': 'full' }, body: Buffer.alloc(MB) };
    expect((await service.fetch(`/cache/k${n}`, options)).status).toBe(201);
  }
  const { out } = await quota('evict', 'full', '--to-percent', '40');
  expect(out).toMatch(/evicted +5 entries/);
  expect(await json('get', 'full')).toMatchObject({ usage: { usedBytes: 4 * MB } });
  expect(await json('evict', 'full', '--all')).toMatchObject({ evicted: 4, usedBytes: 0 });
  expect(await json('reconcile', 'full')).toMatchObject([{ driftBytes: 0, usedBytes: 0 }]);
});

/** ms between two writes of one of four writers. */
const PAUSE_MS = 20;

it('comes to an end though the tenant goes on writing', async () => {
  await quota('set', 'busy', '--limit', '100');
  let writing = true;
  const write = (n: number): Promise<Response> =>
    service.fetch(`/cache/k${n}`, {
      ...{ method: 'PUT', headers: { 'X-Tenant-ID': 'busy' } },
      body: Buffer.alloc(1_000 + (n % 7)),
    });
  for (let n = 0; n < 1_500; n += 10) {
    await Promise.all(Array.from({ length: 10 }, (_, i) => write(n + i)));
  }
  const writers = [0, 1, 2, 3].map(async (lane) => {
    for (let n = lane; writing; n += 4) {
      await (await write(n % 1_500)).arrayBuffer();
      // It goes on, and leaves the eviction its share of two processors.
      await pause(PAUSE_MS);
    }
  });
  const { code, out } = await quota('evict', 'busy', '--all', '--reason', 'too busy');
  writing = false;
  await Promise.all(writers);
  expect(code).toBe(0);
  expect(Number(/evicted +(\d+) entries/.exec(out)?.[1])).toBeGreaterThan(750);
});

it('says who would have been refused', async () => {
  await quota('set', 'whatif', '--limit', '10', '--no-overage');
  const options = {
    method: 'PUT',
    headers: { 'X-Tenant-ID': 'whatif' },
    body: Buffer.alloc(3 * MB),
  };
  await service.fetch('/cache/a', options);
  await waitUntil(async () => {
    const { out } = await quota('simulate', '--limit', '2', '--tenant', 'whatif');
    return /whatif +1 +1 +3/.test(out);
  });
});

it.each([
  ['no command', [], 'Usage:'],
  ['another command', ['gte', 'acme'], 'Did you mean get?'],
  ['a limit that is none', ['set', 'acme', '--limit', '1e3'], 'a whole number, 1 to 2147483647'],
  ['a plan that is none', ['plan', 'acme', 'gold'], 'starter, pro, enterprise'],
  ['nothing to set', ['set', 'acme'], '--limit'],
  ['two targets', ['evict', 'acme', '--all', '--to-mb', '3'], 'cannot be used with'],
  ['no target', ['evict', 'acme'], '--to-percent'],
  ['a day that is none', ['usage', '--from', 'x', '--to', 'y'], 'from'],
  ['a tenant that is none', ['get', 'a b'], 'tenant'],
  ['all and some', ['reconcile', 'acme', '--all'], '--all'],
])('ends with 2 for %s', async (_what, args, says) => {
  const { code, out, err } = await quota(...args);
  expect([code, out]).toEqual([2, '']);
  expect(err).toContain(says);
});

it('has an exit code for each way to fail', async () => {
  expect((await quota('get', 'nobody')).code).toBe(3);
  expect((await runWith({}, ['--url', service.url, 'list'])).code).toBe(5);
  expect((await runWith({ ADMIN_TOKEN: 'wrong' }, ['--url', service.url, 'list'])).code).toBe(5);
  const away = await runWith({ ADMIN_TOKEN }, [
    '--url',
    `http://127.0.0.1:${await freePort()}`,
    'list',
  ]);
  expect(away).toMatchObject({ code: 6, out: '' });
  expect(away.err).toContain('does not answer: ECONNREFUSED');
  expect((await quota('--url', 'ftp://x', 'list')).code).toBe(2);
  expect((await quota('reconcile', 'a b', 'acme')).code).toBe(2);
});

it('takes the token from a file, and never shows it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'quota-cli-'));
  const file = join(folder, 'token');
  await writeFile(file, `${ADMIN_TOKEN}\n`);
  const listed = await runWith({}, ['--url', service.url, '--token-file', file, 'list']);
  expect(listed.code).toBe(0);
  const gone = await runWith({}, ['--url', service.url, '--token-file', `${file}-no`, 'list']);
  expect(gone.code).toBe(2);
  expect(gone.err).toContain('ENOENT');
  const { out, err } = await quota('get', 'nobody');
  expect(out + err).not.toContain(ADMIN_TOKEN);
  await rm(folder, { recursive: true });
});
