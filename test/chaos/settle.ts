import type { AppProcess } from './app-process';
import type { Auditor, Sample } from './auditor';
import { clock, sleep } from './clock';
import type { Findings } from './findings';
import { send } from './http';
import type { Tenant } from './tenants';

const LIMIT_MS = 30_000;
const EVERY_MS = 250;

interface Standing {
  readonly usedBytes: number;
  readonly reservedBytes: number;
}

interface Off {
  readonly tenant: string;
  readonly bytes: number;
  readonly what: string;
}

/**
 * I2: waits until every process says of every tenant that it uses what is really there, to the byte,
 * and holds nothing for writes. Returns how long that took; null: it never did, which is a finding.
 */
export async function settle(
  apps: readonly AppProcess[],
  tenants: readonly Tenant[],
  auditor: Auditor,
  findings: Findings,
): Promise<number | null> {
  const started = clock();
  for (;;) {
    const off = await compare(apps, tenants, auditor);
    if (off.length === 0) return clock() - started;
    if (clock() - started > LIMIT_MS) {
      for (const { bytes, what } of off) findings.drift(bytes, what);
      return null;
    }
    await sleep(EVERY_MS);
  }
}

/** Every tenant that is off, with what the process that is furthest off says. */
async function compare(
  apps: readonly AppProcess[],
  tenants: readonly Tenant[],
  auditor: Auditor,
): Promise<Off[]> {
  let before: Sample;
  let after: Sample;
  const said = new Map<string, (Standing | string)[]>();
  try {
    before = await auditor.sample();
    for (const { id } of tenants) {
      said.set(id, await Promise.all(apps.map((app) => standing(app, id))));
    }
    after = await auditor.sample();
  } catch (error) {
    return [{ tenant: '', bytes: 0, what: `no sample: ${String(error)}` }];
  }
  return tenants.flatMap(({ id }) => {
    const [live, then] = [after.get(id) ?? 0, before.get(id) ?? 0];
    if (live !== then) return [{ tenant: id, bytes: 0, what: `${id} still changes` }];
    const wrong = (said.get(id) ?? []).flatMap((one, i) => {
      const who = `${apps[i]?.name ?? ''} of ${id}`;
      if (typeof one === 'string') return [{ tenant: id, bytes: 0, what: `${who}: ${one}` }];
      const bytes = one.usedBytes - live;
      if (bytes === 0 && one.reservedBytes === 0) return [];
      const what = `${who}: used ${one.usedBytes}, reserved ${one.reservedBytes}, live ${live}`;
      return [{ tenant: id, bytes, what }];
    });
    return wrong.toSorted((a, b) => Math.abs(b.bytes) - Math.abs(a.bytes)).slice(0, 1);
  });
}

async function standing(app: AppProcess, tenant: string): Promise<Standing | string> {
  const { status, error, body } = await send(app.address, {
    method: 'GET',
    path: '/quota',
    tenant,
  });
  if (status !== 200) return `GET /quota: ${status ?? error ?? ''}`;
  const { usedBytes, reservedBytes } = JSON.parse(body.toString()) as Partial<Standing>;
  if (typeof usedBytes !== 'number' || typeof reservedBytes !== 'number')
    return 'GET /quota: no numbers';
  return { usedBytes, reservedBytes };
}
