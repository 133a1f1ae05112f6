import { setTimeout as sleep } from 'node:timers/promises';
import { startPrometheus, waitUntil, type PrometheusServer } from '../../support';
import { MB, Service } from '../../e2e/support/service';
import { Servers } from '../../e2e/support/stacks';
import { dashboardExpressions, RULE_FILES } from './files';

jest.setTimeout(120_000);

const PAUSE_MS = 100;

let servers: Servers;
let service: Service;
let prometheus: PrometheusServer;
let traffic: Promise<void>;
let over = false;

beforeAll(async () => {
  servers = await Servers.start();
  service = await Service.start({
    ...(await servers.settings({ adapter: 'express', stores: 'postgres' })),
    QUOTA_USAGE_SYNC_SECONDS: '1',
    QUOTA_METRICS_TOP_TENANTS: '5',
  });
  prometheus = await startPrometheus(`127.0.0.1:${String(service.port)}`, RULE_FILES);
  traffic = keepWriting();
}, 60_000);

afterAll(async () => {
  over = true;
  await traffic;
  await prometheus.stop();
  await service.stop();
  await servers.stop();
});

/** Writes that fit, that need the overage, that are refused, and that shadow would refuse. */
async function keepWriting(): Promise<void> {
  const [fits, warned, shadow] = [
    await service.tenant({ quotaMb: 10 }),
    await service.tenant({ quotaMb: 1, overageAllowed: true, overageLimitMb: 1 }),
    await service.tenant({ quotaMb: 1, mode: 'shadow' }),
  ];
  for (let n = 0; !over; n += 1) {
    const key = `k${String(n % 10)}`;
    await Promise.all([
      fits.put(key, 1_000),
      warned.put('a', 1.2 * MB),
      warned.put('b', 1.5 * MB),
      shadow.put(key, 1.1 * MB),
    ]);
    await sleep(PAUSE_MS);
  }
}

async function seen(expression: string): Promise<void> {
  await waitUntil(async () => (await prometheus.query(expression)).length > 0, {
    timeoutMs: 30_000,
    what: () => expression,
  });
}

/** There is a number in it; a division by nothing gives NaN. */
async function hasData(expression: string): Promise<boolean> {
  return (await prometheus.query(expression)).some(({ value }) => Number.isFinite(value));
}

/** Those that give nothing, once all had the time to. */
async function empty(
  expressions: readonly { where: string; expression: string }[],
): Promise<string[]> {
  let missing = [...expressions];
  const look = async (): Promise<boolean> => {
    const found = await Promise.all(missing.map(({ expression }) => hasData(expression)));
    missing = missing.filter((_one, i) => found[i] !== true);
    return missing.length === 0;
  };
  await waitUntil(look, { timeoutMs: 20_000 }).catch(() => undefined);
  return missing.map(({ where, expression }) => `${where}: ${expression}`);
}

it('a real Prometheus that saw traffic and an outage leaves no panel and no rule empty', async () => {
  await seen('quota_rejections_total{mode="enforce"} > 0');
  const someone = await service.tenant({ quotaMb: 1 });
  await service.admin('POST', `/${someone.id}/reconcile`);
  await servers.redis.kill();
  await seen('quota_store_state{store="redis"} == 2');
  await seen('quota_journal_entries > 0');
  await servers.redis.restart();
  await seen('quota_store_state{store="redis"} == 0');
  await seen('quota_journal_entries == 0');

  await expect(hasData('quota_no_such_metric')).resolves.toBe(false);
  await expect(empty(dashboardExpressions())).resolves.toEqual([]);

  const rules = await prometheus.rules();
  expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
  const recorded = rules.filter(({ type }) => type === 'recording');
  const alerts = rules.filter(({ type }) => type === 'alerting');
  expect([recorded.length > 0, alerts.length > 0]).toEqual([true, true]);
  const ofRules = [
    ...recorded.map(({ name }) => ({ where: 'recorded', expression: name })),
    // An alert that is silent gives nothing: what it compares must.
    ...alerts.map(({ name, query }) => ({ where: name, expression: withoutThreshold(query) })),
  ];
  await expect(empty(ofRules)).resolves.toEqual([]);
});

function withoutThreshold(query: string): string {
  const [, compared] = /^(.*) (?:>=?|<=?) [\d.e+]+$/.exec(query) ?? [];
  if (compared === undefined) throw new Error(`An alert must compare with a number: ${query}`);
  return compared;
}
