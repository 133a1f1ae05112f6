import type { DynamicModule, INestApplication, Type } from '@nestjs/common';
import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createApp } from '../../../src/bootstrap';
import { parseSettings } from '../../../src/config/settings';

export const MB = 1_048_576;
export const ADMIN_TOKEN = 'admin-token-of-the-tests';

/** What the service tells of a tenant at GET /quota. */
export interface Standing {
  readonly mode: string;
  readonly decision: string;
  readonly quotaBytes: number;
  readonly usedBytes: number;
  readonly committedBytes: number;
  readonly reservedBytes: number;
}

export interface Quota {
  readonly quotaMb: number;
  readonly overageAllowed?: boolean;
  readonly overageLimitMb?: number;
  readonly mode?: 'off' | 'shadow' | 'enforce' | null;
}

type Headers = Record<string, string>;

/** The service in this process, on a free port. */
export class Service {
  private constructor(
    readonly app: INestApplication<Server>,
    readonly port: number,
  ) {}

  /** Embedded and in memory, enforcing, header mode, unless the settings say otherwise. */
  static async start(
    settings: Record<string, string> = {},
    more: readonly (Type | DynamicModule)[] = [],
  ): Promise<Service> {
    const app = await createApp(
      parseSettings({
        NODE_ENV: 'test',
        DATA_DIR: 'memory://',
        LOG_LEVEL: process.env['TEST_LOG_LEVEL'] ?? 'silent',
        QUOTA_ENFORCEMENT_ENABLED: 'true',
        ADMIN_TOKEN,
        ...settings,
      }),
      more,
    );
    await app.listen(0, '127.0.0.1');
    return new Service(app, (app.getHttpServer().address() as AddressInfo).port);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    await this.app.close();
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, init);
  }

  /** The admin API with a body in JSON. */
  admin(method: string, path: string, body?: unknown, headers: Headers = {}): Promise<Response> {
    return this.fetch(`/admin/quotas${path}`, {
      method,
      headers: { Authorization: `Bearer ${ADMIN_TOKEN}`, ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }

  /** A tenant nobody else uses, with this quota; without one: the default quota. */
  async tenant(quota?: Quota): Promise<Tenant> {
    const tenant = new Tenant(this, `t-${randomBytes(6).toString('hex')}`);
    if (quota !== undefined) await tenant.setQuota(quota);
    return tenant;
  }
}

/** One tenant's view of the service. */
export class Tenant {
  constructor(
    readonly service: Service,
    readonly id: string,
  ) {}

  async setQuota(quota: Quota): Promise<void> {
    const response = await this.service.admin('PUT', `/${this.id}`, quota);
    if (!response.ok) throw new Error(`PUT quota: ${response.status} ${await response.text()}`);
    await response.arrayBuffer();
  }

  /** The same tenant at another instance. */
  at(service: Service): Tenant {
    return new Tenant(service, this.id);
  }

  request(method: string, path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { 'X-Tenant-ID': this.id, ...(init.headers as Headers | undefined) };
    return this.service.fetch(path, { ...init, method, headers });
  }

  /** Stores `body`, or so many bytes, and gives the answer with its body read. */
  async put(
    key: string,
    body: number | string | Uint8Array,
    options: { ttl?: number; headers?: Headers; method?: string } = {},
  ): Promise<Answer> {
    const query = options.ttl === undefined ? '' : `?ttl=${options.ttl}`;
    return answer(
      await this.request(options.method ?? 'PUT', `/cache/${encodeURIComponent(key)}${query}`, {
        body: typeof body === 'number' ? bytes(body) : body,
        ...(options.headers && { headers: options.headers }),
      }),
    );
  }

  /**
   * As {@link put}, and again while the answer is 503: a machine that is busy beyond the deadlines
   * of the stores has not decided yet. The same write again has the same effect.
   */
  async putUntilDecided(key: string, body: number): Promise<Answer> {
    for (let attempt = 0; attempt < 20; attempt += 1) {
      const given = await this.put(key, body);
      if (given.status !== 503) return given;
      await sleep(Number(given.headers.get('retry-after')) * 1_000 * (0.5 + Math.random()));
    }
    throw new Error('The service did not decide.');
  }

  async get(key: string): Promise<Response> {
    return this.request('GET', `/cache/${encodeURIComponent(key)}`);
  }

  async delete(key: string): Promise<Answer> {
    return answer(await this.request('DELETE', `/cache/${encodeURIComponent(key)}`));
  }

  async standing(): Promise<Standing> {
    const response = await this.request('GET', '/quota');
    if (response.status !== 200) throw new Error(`GET /quota: ${response.status}`);
    return (await response.json()) as Standing;
  }

  async used(): Promise<number> {
    return (await this.standing()).usedBytes;
  }
}

/** An answer that was read to its end. */
export interface Answer {
  readonly status: number;
  readonly headers: globalThis.Headers;
  readonly text: string;
  /** The body as JSON. */
  readonly json: Record<string, unknown>;
}

export async function answer(response: Response): Promise<Answer> {
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    get json() {
      return JSON.parse(text) as Record<string, unknown>;
    },
  };
}

let pool = Buffer.alloc(0);

/** So many bytes of no meaning; the same memory every time. */
export function bytes(length: number): Uint8Array {
  if (pool.length < length) pool = Buffer.alloc(length, 'quota ');
  return pool.subarray(0, length);
}

/** The quota headers of an answer without their prefix. */
export function quotaHeadersOf(headers: globalThis.Headers): Record<string, string> {
  const prefix = 'x-cache-quota-';
  return Object.fromEntries(
    [...headers].flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [],
    ),
  );
}
