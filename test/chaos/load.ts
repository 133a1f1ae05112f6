import type { AppProcess } from './app-process';
import { bodyOf } from './body';
import { clock, sleep } from './clock';
import { send, type Reply } from './http';
import type { Judge } from './judge';
import type { Op } from './model';
import type { Random } from './prng';
import { hardBytes, type Tenant } from './tenants';

const KB = 1_024;
const MB = 1_024 * KB;
/** Bodies up to this are small: their time is the decision's, not the transfer's. */
const SMALL = 8 * KB;

export interface LoadParts {
  readonly judge: Judge;
  readonly random: Random;
  readonly tenants: readonly Tenant[];
  readonly live: () => readonly AppProcess[];
  /** Faults in force, for telling. */
  readonly when: () => string;
  /** An answer to a request with small bodies both ways. */
  readonly answered: (app: AppProcess, from: number, to: number) => void;
}

/** Clients in a closed loop, each request at a random process that is live. */
export class Load {
  readonly statuses: Record<string, number> = {};
  sent = 0;
  private nextId = 1;

  constructor(private readonly parts: LoadParts) {}

  async run(workers: number, rate: number, signal: AbortSignal): Promise<void> {
    const everyMs = (workers * 1_000) / rate;
    const work = async (): Promise<void> => {
      await sleep(Math.random() * everyMs);
      while (!signal.aborted) {
        const started = clock();
        await this.one();
        await sleep(Math.max(1, everyMs * (0.5 + Math.random()) - (clock() - started)));
      }
    };
    await Promise.all(Array.from({ length: workers }, work));
  }

  /** Fills every tenant nearly to its limit, so that it is met from the start on. */
  async fill(workers: number): Promise<void> {
    const { tenants } = this.parts;
    const all = tenants.flatMap((tenant) => tenant.keys.map((key) => ({ tenant, key }))).values();
    const work = async (): Promise<void> => {
      for (const { tenant, key } of all) {
        const op = this.op(
          'put',
          Math.floor((hardBytes(tenant) / tenant.keys.length) * 0.97),
          null,
        );
        const app = this.parts.random.pick(this.parts.live());
        await this.write(tenant, key, app, op, {
          method: 'PUT',
          key,
          body: bodyOf(op.id, op.size),
        });
      }
    };
    await Promise.all(Array.from({ length: workers }, work));
  }

  /** Reads a key and holds it against what is known. True: it was possible to say. */
  async get(tenant: Tenant, key: string, app: AppProcess): Promise<boolean> {
    const history = this.parts.judge.historyOf(tenant).of(key);
    const before = { settled: history.settled(), lastId: history.lastId };
    const when = this.parts.when();
    const reply = await this.send(app, tenant, { method: 'GET', key });
    return this.parts.judge.read({ tenant, key }, before, reply, `${app.name}, ${when}`);
  }

  /** True: a value is gone that only writes of unknown outcome can have taken, and left nothing. */
  async isGone(tenant: Tenant, key: string, app: AppProcess): Promise<boolean> {
    if (tenant.mortal || this.parts.judge.historyOf(tenant).of(key).doubtful() === null)
      return false;
    return (await this.send(app, tenant, { method: 'GET', key })).status === 404;
  }

  private async one(): Promise<void> {
    const { random, live, tenants } = this.parts;
    const apps = live();
    if (apps.length === 0) {
      await sleep(50);
      return;
    }
    const [app, tenant] = [random.pick(apps), random.pick(tenants)];
    const [key, roll] = [random.pick(tenant.keys), random.next()];
    if (roll < 0.25) await this.get(tenant, key, app);
    else if (roll < 0.35) await this.delete(tenant, key, app);
    else await this.put(tenant, key, app);
  }

  private async put(tenant: Tenant, key: string, app: AppProcess): Promise<void> {
    const { random } = this.parts;
    const [size, ttl] = [this.size(tenant), random.chance(0.15) ? random.int(1, 4) : null];
    const leaves = size > 2 && random.chance(0.03) ? random.int(0, 30) : null;
    const op = this.op('put', size, ttl === null ? null : ttl * 1_000);
    await this.write(tenant, key, app, op, {
      method: 'PUT',
      key,
      body: bodyOf(op.id, size),
      ...(ttl !== null && { query: `?ttl=${ttl}` }),
      ...(leaves !== null && { leaveAfterMs: leaves }),
    });
  }

  private async delete(tenant: Tenant, key: string, app: AppProcess): Promise<void> {
    await this.write(tenant, key, app, this.op('delete', 0, null), { method: 'DELETE', key });
  }

  private async write(
    tenant: Tenant,
    key: string,
    app: AppProcess,
    op: Op,
    call: Parameters<Load['send']>[2],
  ): Promise<void> {
    const { judge, when } = this.parts;
    judge.begin(tenant, key, op);
    const before = when();
    const reply = await this.send(app, tenant, call);
    judge.end(tenant, key, op, reply, `${app.name}, ${before} to ${when()}`);
  }

  private async send(
    app: AppProcess,
    tenant: Tenant,
    call: { method: string; key: string; query?: string; body?: Buffer; leaveAfterMs?: number },
  ): Promise<Reply> {
    const { judge, answered, when } = this.parts;
    const { key, query = '', ...rest } = call;
    const from = clock();
    const path = `/cache/${key}${query}`;
    const reply = await send(app.address, { ...rest, path, tenant: tenant.id });
    const to = clock();
    this.sent += 1;
    const name = `${call.method} ${reply.status ?? reply.error ?? ''}`;
    this.statuses[name] = (this.statuses[name] ?? 0) + 1;
    const small = (call.body?.length ?? 0) <= SMALL && reply.body.length <= SMALL;
    if (reply.status !== null && small) answered(app, from, to);
    judge.status(tenant, call.method, reply, `${app.name}, ${Math.round(to - from)} ms, ${when()}`);
    return reply;
  }

  private op(kind: 'put' | 'delete', size: number, ttlMs: number | null): Op {
    const id = this.nextId++;
    return { id, kind, size, ttlMs, start: clock(), end: Infinity, outcome: 'pending' };
  }

  /** So that a tenant's keys together are somewhat more than it may hold. */
  private size(tenant: Tenant): number {
    const { random } = this.parts;
    const scale = Math.ceil(hardBytes(tenant) / MB);
    if (random.chance(0.1)) return random.int(1, 200);
    if (random.chance(0.55)) return random.int(1, 48 * KB);
    return random.int(48 * KB, 48 * KB + 220 * KB * scale);
  }
}
