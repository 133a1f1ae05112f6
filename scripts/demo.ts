// Plays the service's main job on real files and shows every step. Against a running service
// (--url, or QUOTA_URL; its admin token in ADMIN_TOKEN) or against one that it starts itself.
// Ends with 0 when the service's account agrees with what is really stored, else with 1.
import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createApp } from '../src/bootstrap';
import { parseSettings } from '../src/config/settings';

const MB = 1_048_576;
const QUOTA = { quotaMb: 8, overageAllowed: true, overageLimitMb: 1 };
const COLUMNS = [34, 9, 7, 9, 26, 12, 0];

interface Service {
  readonly url: string;
  readonly adminToken: string;
  stop(): Promise<void>;
}

async function startOwn(): Promise<Service> {
  const adminToken = randomBytes(16).toString('hex');
  const settings = parseSettings({
    NODE_ENV: 'development',
    PORT: '0',
    DATA_DIR: 'memory://',
    LOG_LEVEL: 'error',
    ADMIN_TOKEN: adminToken,
  });
  const app = await createApp(settings);
  await app.listen(0, '127.0.0.1');
  return { url: await app.getUrl(), adminToken, stop: () => app.close() };
}

async function connect(): Promise<Service> {
  const { values } = parseArgs({ options: { url: { type: 'string' } } });
  const url = values.url ?? process.env['QUOTA_URL'];
  if (url === undefined) return startOwn();
  const adminToken = process.env['ADMIN_TOKEN'];
  if (adminToken === undefined) {
    throw new Error(
      'Set ADMIN_TOKEN to the admin token of the service: the demo makes a tenant of its own.',
    );
  }
  return { url: url.replace(/\/$/, ''), adminToken, stop: async () => undefined };
}

/** The real input: TypeScript's own files that fit the quota, the largest first. */
function sampleFiles(): string[] {
  const folder = dirname(require.resolve('typescript'));
  return readdirSync(folder)
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile() && statSync(path).size <= QUOTA.quotaMb * MB)
    .sort((a, b) => statSync(b).size - statSync(a).size);
}

class Demo {
  private readonly tenant = `demo-${randomBytes(3).toString('hex')}`;
  private readonly keys = new Set<string>();

  constructor(private readonly service: Service) {}

  async run(): Promise<boolean> {
    await this.admin('PUT', QUOTA);
    console.log(
      `Tenant ${this.tenant}: ${QUOTA.quotaMb} MB, and ${QUOTA.overageLimitMb} MB of overage. ` +
        `Real files of TypeScript's lib folder go in.\n`,
    );
    row(['step', 'bytes', 'status', 'decision', 'used / limit MB', 'percent', 'usage']);
    row(COLUMNS.map((width) => '-'.repeat(width === 0 ? 22 : width)));
    await this.fill(sampleFiles());
    await this.giveBack();
    await this.expire();
    const right = await this.audit();
    await this.admin('DELETE');
    return right;
  }

  /** Stores file after file, beyond the warning and a refusal, to the first small one that still fits. */
  private async fill(files: readonly string[]): Promise<void> {
    let refused = false;
    for (const file of files) {
      const { status } = await this.put(basename(file), readFileSync(file));
      if (refused && status === 201) return;
      refused ||= status === 429;
    }
  }

  /** Overwrites one entry with less, and deletes another. */
  private async giveBack(): Promise<void> {
    const [first, second] = [...this.keys];
    if (first === undefined || second === undefined) throw new Error('Nothing was stored.');
    await this.put(first, Buffer.alloc(64 * 1_024, 'a'), 'overwrite');
    await this.show(`delete ${second}`, await this.request('DELETE', second), '');
    this.keys.delete(second);
  }

  private async expire(): Promise<void> {
    for (const seconds of [1, 2]) {
      await this.put(
        `short-${seconds}?ttl=${seconds}`,
        Buffer.alloc(MB / 2, 'b'),
        `ttl ${seconds} s`,
      );
      this.keys.delete(`short-${seconds}?ttl=${seconds}`);
    }
    await sleep(2_100);
    await this.show('after 2.1 s: both have expired', await this.quota(), '');
  }

  /** Reads back every entry: the sum of what is there must be what the service says is used. */
  private async audit(): Promise<boolean> {
    let sum = 0;
    for (const key of this.keys) {
      const response = await this.request('GET', key);
      if (response.status === 200) sum += (await response.arrayBuffer()).byteLength;
      else await response.arrayBuffer();
    }
    const { usedBytes, reservedBytes } = (await (await this.quota()).json()) as Record<
      string,
      number
    >;
    const right = usedBytes === sum && reservedBytes === 0;
    console.log(
      `\nused by the service's account: ${String(usedBytes)} bytes, ${String(reservedBytes)} reserved` +
        `\nsum of what can be read back:  ${sum} bytes in ${this.keys.size} entries` +
        `\n${right ? 'They agree, to the byte.' : 'THEY DIFFER.'}`,
    );
    return right;
  }

  private async put(
    key: string,
    body: Buffer,
    verb = 'store',
  ): Promise<{ status: number; decision: string | null }> {
    const response = await this.request('PUT', key, body);
    if (response.ok) this.keys.add(key);
    await this.show(`${verb} ${key.replace(/\?.*/, '')}`, response, String(body.length));
    return { status: response.status, decision: response.headers.get('x-cache-quota-status') };
  }

  private request(method: string, key: string, body?: Buffer): Promise<Response> {
    const [path = '', query] = key.split('?');
    return fetch(
      `${this.service.url}/cache/${encodeURIComponent(path)}${query === undefined ? '' : `?${query}`}`,
      {
        method,
        headers: { 'X-Tenant-ID': this.tenant },
        ...(body && { body: new Uint8Array(body) }),
      },
    );
  }

  private quota(): Promise<Response> {
    return fetch(`${this.service.url}/quota`, { headers: { 'X-Tenant-ID': this.tenant } });
  }

  private async admin(method: string, body?: object): Promise<void> {
    const response = await fetch(`${this.service.url}/admin/quotas/${this.tenant}`, {
      method,
      headers: { Authorization: `Bearer ${this.service.adminToken}` },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (!response.ok) {
      throw new Error(`The admin route answered ${response.status}: ${await response.text()}`);
    }
  }

  private async show(step: string, response: Response, bytes: string): Promise<void> {
    const header = (name: string): string => response.headers.get(`x-cache-quota-${name}`) ?? '';
    const used = Number(header('used'));
    row([
      step.slice(0, COLUMNS[0]),
      bytes,
      String(response.status),
      header('status'),
      `${header('used')} / ${header('limit')}`,
      `${header('percent')} %`,
      bar(used / QUOTA.quotaMb),
    ]);
    if (!response.bodyUsed && response.url.includes('/cache/')) await response.arrayBuffer();
  }
}

function row(cells: readonly string[]): void {
  const text = cells.map((cell, i) => {
    const width = COLUMNS[i] ?? 0;
    return i === 1 || i === 5 ? cell.padStart(width) : cell.padEnd(width);
  });
  console.log(text.join('  ').trimEnd());
}

/** Twenty marks for the quota; what is beyond it stands behind the line. */
function bar(share: number): string {
  const marks = Math.round(share * 20);
  return `${'#'.repeat(Math.min(marks, 20)).padEnd(20, '.')}|${'!'.repeat(Math.max(0, Math.ceil(share * 20) - 20))}`;
}

async function main(): Promise<void> {
  const service = await connect();
  try {
    process.exitCode = (await new Demo(service).run()) ? 0 : 1;
  } finally {
    await service.stop();
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
