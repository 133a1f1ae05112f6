import { waitUntil } from '../support';
import { ServiceProcess } from './support/process';
import { bytes } from './support/service';
import { Servers } from './support/stacks';

jest.setTimeout(60_000);

let servers: Servers;
let service: ServiceProcess | undefined;

beforeAll(async () => {
  servers = await Servers.start();
});
afterEach(() => service?.kill());
afterAll(() => servers.stop());

it.each(['embedded', 'redis', 'postgres'] as const)(
  'counts and logs a write that no longer fits at its commit, %s',
  async (stores) => {
    const settings = await servers.settings({ adapter: 'express', stores });
    service = await ServiceProcess.start({
      ...{ DATA_DIR: 'memory://', QUOTA_RESERVATION_TTL_SECONDS: '1' },
      ...settings,
    });
    const child = service;
    const tenant = `late-${stores}`;
    await child.request('PUT', `/admin/quotas/${tenant}`, JSON.stringify({ quotaMb: 1 }));
    const late = child.request('PUT', '/probe/slow', bytes(700_000), tenant);
    await child.says(/^holding/m);
    // Its hold lapses, and another write takes its place.
    let status = 0;
    await waitUntil(
      async () => {
        ({ status } = await child.request('PUT', '/cache/other', bytes(600_000), tenant));
        return status === 201;
      },
      { timeoutMs: 20_000, what: () => `the hold to lapse; the last answer was ${status}` },
    );
    await child.request('DELETE', '/probe/slow', undefined, tenant);
    expect((await late).status).toBe(429);
    const { text } = await child.request('GET', '/metrics');
    expect(text).toMatch(/^quota_late_rejections_total\{mode="enforce"\} 1$/m);
    expect(text).toMatch(/^quota_late_rejections_total\{mode="shadow"\} 0$/m);
    await child.says(/"msg":"quota_late_rejection"/);
    const [line] = child.lines(/"msg":"quota_late_rejection"/);
    expect(JSON.parse(line!)).toMatchObject({
      ...{ level: 40, tenantId: tenant, bytes: 700_000, usedBytes: 600_000, limitBytes: 1_048_576 },
      ...{
        decision: 'REJECT',
        mode: 'enforce',
        source: stores === 'embedded' ? 'memory' : 'redis',
      },
    });
    const { json } = await child.request('GET', '/quota', undefined, tenant);
    expect(json).toMatchObject({ committedBytes: 600_000, reservedBytes: 0 });
  },
);
