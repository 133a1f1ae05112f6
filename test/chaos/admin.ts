import { randomUUID } from 'node:crypto';
import type { AppProcess } from './app-process';
import { sleep } from './clock';
import { send, type Reply } from './http';
import type { Random } from './prng';
import type { Tenant } from './tenants';

interface QuotaBody {
  readonly quotaMb: number;
  readonly overageAllowed?: boolean;
  readonly overageLimitMb?: number;
  readonly version?: number;
}

function admin(app: AppProcess, method: string, path: string, body?: QuotaBody): Promise<Reply> {
  const text = body && Buffer.from(JSON.stringify(body));
  const call = { method, path: `/admin/quotas${path}`, admin: true };
  return send(app.address, text === undefined ? call : { ...call, body: text });
}

/** Until it is done: what the run begins and ends with. @throws Error when it never is. */
export async function setQuota(app: () => AppProcess, tenant: Tenant): Promise<void> {
  const { id, quotaMb, overageMb } = tenant;
  const overage = { overageAllowed: overageMb > 0, overageLimitMb: overageMb };
  let reply: Reply | null = null;
  for (let attempt = 0; attempt < 100; attempt += 1) {
    reply = await admin(app(), 'PUT', `/${id}`, { quotaMb, ...overage });
    if (reply.status === 200 || reply.status === 201) return;
    await sleep(200);
  }
  throw new Error(`The quota of ${id} cannot be set: ${reply?.status} ${String(reply?.body)}`);
}

/** Changes one tenant's quota, and deletes another and makes it anew, all the time. */
export async function troubleTenants(
  parts: {
    readonly live: () => readonly AppProcess[];
    readonly random: Random;
    readonly tenants: readonly Tenant[];
    readonly report: (kind: string, what: string) => void;
  },
  signal: AbortSignal,
): Promise<void> {
  const { live, random, tenants, report } = parts;
  const call = async (method: string, id: string, body?: QuotaBody): Promise<void> => {
    const apps = live();
    if (apps.length === 0) return;
    const { status, error, body: text } = await admin(random.pick(apps), method, `/${id}`, body);
    const name = `${method} quota of ${id}`;
    if (error === 'TIMEOUT') report('hanging', name);
    const fine = status === null || [200, 201, 204, 404, 409, 503].includes(status);
    if (!fine) report('unexpected status', `${name}: ${status} ${text.toString().slice(0, 300)}`);
  };
  const elastic = async ({ id, quotaMb }: Tenant): Promise<void> => {
    while (!signal.aborted) {
      await call('PUT', id, { quotaMb: random.int(1, quotaMb) });
      await sleep(random.int(300, 1_200));
    }
  };
  const mortal = async ({ id, quotaMb }: Tenant): Promise<void> => {
    while (!signal.aborted) {
      await sleep(random.int(2_000, 5_000));
      await call('DELETE', id);
      await sleep(random.int(0, 300));
      await call('PUT', id, { quotaMb });
    }
  };
  await Promise.all([
    ...tenants.filter((tenant) => tenant.elastic).map(elastic),
    ...tenants.filter((tenant) => tenant.mortal).map(mortal),
  ]);
}

/** All tenants at once, each at any process; no answer but 200 and 503 is right. */
export async function reconcileAll(
  apps: readonly AppProcess[],
  tenants: readonly Tenant[],
  report: (kind: string, what: string) => void,
): Promise<void> {
  const one = async ({ id }: Tenant, i: number): Promise<void> => {
    const app = apps[i % apps.length];
    if (app === undefined) return;
    const { status, error, body } = await admin(app, 'POST', `/${id}/reconcile`);
    if (error === 'TIMEOUT') report('hanging', `reconcile of ${id} at ${app.name}`);
    if (status === null || status === 200 || status === 503) return;
    report('unexpected status', `reconcile of ${id}: ${status} ${body.toString().slice(0, 300)}`);
  };
  await Promise.all(tenants.map(one));
}

const RACERS = 20;

/** Twenty changes of one quota from the same version: at most one wins, the others are told so. */
export async function raceForQuota(
  apps: readonly AppProcess[],
  { id, quotaMb }: Tenant,
  report: (kind: string, what: string) => void,
): Promise<void> {
  const [first] = apps;
  if (first === undefined) return;
  const version = await versionOf(first, id);
  if (version === null) return;
  const replies = await Promise.all(
    Array.from({ length: RACERS }, (_, i) => {
      const change = { quotaMb: 1 + (i % quotaMb), version };
      return admin(apps[i % apps.length] ?? first, 'PUT', `/${id}`, change);
    }),
  );
  const statuses = replies.map(({ status }) => status);
  const won = statuses.filter((status) => status === 200).length;
  const told = `race ${randomUUID().slice(0, 4)} from version ${version}: ${statuses.join(' ')}`;
  if (won > 1) report('several changes won', told);
  const wrong = statuses.some((s) => s !== null && s !== 200 && s !== 409 && s !== 503);
  if (wrong) report('unexpected status', told);
  if (statuses.every((status) => status === 409)) {
    const now = await versionOf(first, id);
    if (now === version) report('no change won', told);
  }
}

async function versionOf(app: AppProcess, id: string): Promise<number | null> {
  const { status, body } = await admin(app, 'GET', `/${id}`);
  if (status !== 200) return null;
  const { version } = JSON.parse(body.toString()) as { version?: unknown };
  return typeof version === 'number' ? version : null;
}
