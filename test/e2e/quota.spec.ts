import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../support';
import { Gate, ProbeModule } from './support/probe.module';
import { head, RawConnection } from './support/raw';
import { bytes, MB, quotaHeadersOf, Service, type Answer, type Tenant } from './support/service';
import { Servers, STACKS } from './support/stacks';

// Making the embedded database takes its time on a busy machine.
jest.setTimeout(60_000);

/** What the service is for, on every stack it can run on. */
describe('the cache within a quota', () => {
  let servers: Servers;

  beforeAll(async () => {
    servers = await Servers.start();
  });

  afterAll(async () => {
    await servers.stop();
  });

  describe.each(STACKS)('$name', (stack) => {
    let service: Service;

    beforeAll(async () => {
      service = await Service.start(await servers.settings(stack), [ProbeModule]);
    });

    afterAll(async () => {
      await service.stop();
    });

    it('admits, warns and refuses at 100 MB with 10 MB of overage, to the byte', async () => {
      const tenant = await service.tenant({
        quotaMb: 100,
        overageAllowed: true,
        overageLimitMb: 10,
      });
      for (let i = 0; i < 9; i += 1)
        expect((await tenant.put(`fill-${i}`, 10 * MB)).status).toBe(201);
      expect(await tenant.used()).toBe(90 * MB);

      const allowed = await tenant.put('five', 5 * MB);
      expect(allowed.status).toBe(201);
      expect(quotaHeadersOf(allowed.headers)).toEqual({
        limit: '100',
        used: '95',
        remaining: '5',
        percent: '95',
        status: 'ok',
        mode: 'enforce',
      });
      const warned = await tenant.put('ten', 10 * MB);
      expect(warned.status).toBe(201);
      expect(quotaHeadersOf(warned.headers)).toEqual({
        limit: '100',
        used: '105',
        remaining: '0',
        percent: '105',
        status: 'warning',
        mode: 'enforce',
      });

      const refused = await tenant.put('more', 10 * MB);
      expect(refused.status).toBe(429);
      expect(refused.headers.get('content-type')).toMatch(/^application\/problem\+json/);
      expect(refused.headers.get('cache-control')).toBe('no-store');
      expect(refused.headers.get('retry-after')).toBeNull();
      expect(refused.json).toMatchObject({
        type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
        status: 429,
        error: 'quota_exceeded',
        'violated-policies': ['cache-storage'],
        quota: { limit_mb: 100, used_mb: 105, overage_limit_mb: 10, requested_mb: 10 },
      });
      expect(quotaHeadersOf(refused.headers)).toMatchObject({ used: '105', status: 'exceeded' });
      expect(await tenant.standing()).toMatchObject({ usedBytes: 105 * MB, reservedBytes: 0 });
      expect((await tenant.get('more')).status).toBe(404);
    });

    it('takes the largest single write, gives it back, and no byte more', async () => {
      const tenant = await service.tenant({ quotaMb: 150 });
      expect((await tenant.put('key', 100 * MB)).status).toBe(201);
      const read = await tenant.get('key');
      expect(read.status).toBe(200);
      expect(Buffer.from(await read.arrayBuffer()).equals(bytes(100 * MB))).toBe(true);
      const refused = await tenant.put('key', 100 * MB + 1);
      expect(refused.status).toBe(413);
      expect(refused.json).toMatchObject({ error: 'write_too_large' });
      expect(await tenant.standing()).toMatchObject({ usedBytes: 100 * MB, reservedBytes: 0 });
      await tenant.delete('key');
    });

    it('answers as the contract says', async () => {
      const tenant = await service.tenant({ quotaMb: 1 });
      const key = 'a/b c€?#%';
      const type = 'application/json; charset=utf-8';
      const body = '{ "as it came": 1e2 }';

      const created = await tenant.put(key, body, { headers: { 'Content-Type': type }, ttl: 60 });
      expect(created.status).toBe(201);
      expect(created.json).toEqual({ key, bytes: body.length, expiresAt: expect.any(String) });
      const expiresIn = Date.parse(String(created.json['expiresAt'])) - Date.now();
      expect(expiresIn).toBeGreaterThan(50_000);
      expect(expiresIn).toBeLessThan(70_000);

      const read = await tenant.get(key);
      expect(read.status).toBe(200);
      expect(read.headers.get('content-type')).toBe(type);
      expect(read.headers.get('x-content-type-options')).toBe('nosniff');
      expect(quotaHeadersOf(read.headers)).toMatchObject({ limit: '1', status: 'ok' });
      expect(await read.text()).toBe(body);

      const replaced = await tenant.put(key, '', { method: 'POST' });
      expect([replaced.status, replaced.json]).toEqual([200, { key, bytes: 0, expiresAt: null }]);
      expect((await tenant.get(key)).headers.get('content-type')).toMatch(/^text\/plain/);

      const removed = await tenant.delete(key);
      expect([removed.status, removed.text]).toEqual([204, '']);
      expect(quotaHeadersOf(removed.headers)).toMatchObject({ used: '0', percent: '0' });
      expect((await tenant.delete(key)).status).toBe(404);
      expect((await tenant.get(key)).status).toBe(404);
    });

    it('keeps tenants apart', async () => {
      const [one, two] = [await service.tenant(), await service.tenant()];
      await one.put('key', 'mine');
      expect((await two.get('key')).status).toBe(404);
      expect((await two.delete('key')).status).toBe(404);
      expect(await (await one.get('key')).text()).toBe('mine');
      expect(await two.used()).toBe(0);
    });

    it('counts 100 writes at once to the byte', async () => {
      const tenant = await service.tenant({ quotaMb: 100 });
      const sizes = Array.from({ length: 100 }, (_, i) => 1_000 + i * 37);
      const answers = await Promise.all(sizes.map((size, i) => tenant.put(`key-${i}`, size)));
      expect(answers.every(({ status }) => status === 201)).toBe(true);
      const sum = sizes.reduce((a, b) => a + b, 0);
      expect(await tenant.standing()).toMatchObject({ usedBytes: sum, reservedBytes: 0 });
    });

    it('admits exactly 100 of 300 writes of 1 MB at once', async () => {
      const tenant = await service.tenant({ quotaMb: 100 });
      const writes = Array.from({ length: 300 }, (_, i) => tenant.putUntilDecided(`key-${i}`, MB));
      const statuses = (await Promise.all(writes)).map(({ status }) => status);
      // 200 for one that was stored although its first answer was 503.
      expect(count(statuses, 201) + count(statuses, 200)).toBe(100);
      expect(count(statuses, 429)).toBe(200);
      expect(await tenant.standing()).toMatchObject({ usedBytes: 100 * MB, reservedBytes: 0 });
    });

    it('never refuses a small write that fits because of huge ones beside it', async () => {
      const tenant = await service.tenant({ quotaMb: 10 });
      await tenant.put('base', 5 * MB);
      const huge = Array.from({ length: 10 }, (_, i) => tenant.put(`huge-${i}`, 6 * MB));
      const small = Array.from({ length: 40 }, (_, i) => tenant.put(`small-${i}`, 10_000));
      const refused = (await Promise.all(huge)).map(({ status }) => status);
      const admitted = (await Promise.all(small)).map(({ status }) => status);
      expect(count(refused, 429)).toBe(10);
      expect(count(admitted, 201)).toBe(40);
    });

    it('refuses what could never fit with 413, whatever is free', async () => {
      const tenant = await service.tenant({ quotaMb: 2 });
      const refused = await tenant.put('big', 2 * MB + 1);
      expect(refused.status).toBe(413);
      expect(refused.json).toMatchObject({ error: 'write_too_large' });
      expect(quotaHeadersOf(refused.headers)).toMatchObject({ used: '0', status: 'exceeded' });
      expect(await tenant.standing()).toMatchObject({ usedBytes: 0, reservedBytes: 0 });
    });

    it('gives back what overwriting, deleting and expiring free', async () => {
      const tenant = await service.tenant({ quotaMb: 1 });
      await tenant.put('stays', 100_003);
      await tenant.put('grows', 10);
      await tenant.put('goes', 777);
      await tenant.put('expires', 1_234, { ttl: 1 });
      expect(await tenant.used()).toBe(100_003 + 10 + 777 + 1_234);
      await tenant.put('stays', 3);
      await tenant.put('grows', 50_001);
      await tenant.delete('goes');
      expect(await tenant.used()).toBe(3 + 50_001 + 1_234);
      await waitUntil(async () => (await tenant.used()) === 3 + 50_001);
      expect((await tenant.get('expires')).status).toBe(404);
      expect(await tenant.standing()).toMatchObject({ committedBytes: 50_004, reservedBytes: 0 });
    });

    it('says when to come back when entries will expire', async () => {
      const tenant = await service.tenant({ quotaMb: 1 });
      await tenant.put('short', 800_000, { ttl: 2 });
      const refused = await tenant.put('next', 800_000);
      expect(refused.status).toBe(429);
      const seconds = Number(refused.headers.get('retry-after'));
      expect(seconds).toBeGreaterThanOrEqual(1);
      expect(seconds).toBeLessThanOrEqual(2);
      expect(refused.json).toMatchObject({ retry_after_seconds: seconds });
      await sleep(seconds * 1_000 + 50);
      expect((await tenant.put('next', 800_000)).status).toBe(201);
    });

    it('says in the headers what the ledger says', async () => {
      const tenant = await service.tenant({ quotaMb: 1, overageAllowed: true, overageLimitMb: 1 });
      for (const size of [1, 500_000, 1_048_575, 1_048_577, 1_500_000, 2_097_152, 2_097_153]) {
        const { headers } = await tenant.put('key', size);
        await expectAgreement(tenant, headers);
      }
      await expectAgreement(tenant, (await tenant.get('key')).headers);
      await expectAgreement(tenant, (await tenant.delete('key')).headers);
    });

    it('gives back what a failing handler did not store, and charges what it did', async () => {
      const tenant = await service.tenant({ quotaMb: 1 });
      const put = (path: string): Promise<Response> =>
        tenant.request('PUT', path, { body: 'x'.repeat(5_000) });
      const failed = await put('/probe/fails/key');
      expect(failed.status).toBe(500);
      expect(await failed.text()).not.toMatch(/bees|at .*\.ts/);
      expect(await tenant.standing()).toMatchObject({ usedBytes: 0, reservedBytes: 0 });
      expect((await put('/probe/stores-then-fails/key')).status).toBe(500);
      expect(await tenant.standing()).toMatchObject({ usedBytes: 1_000, reservedBytes: 0 });
    });

    it('keeps nothing reserved for a client that goes away mid-body', async () => {
      const tenant = await service.tenant({ quotaMb: 10 });
      const connection = await RawConnection.open(service);
      const lines = [
        `PUT /cache/key HTTP/1.1`,
        `X-Tenant-ID: ${tenant.id}`,
        'Content-Length: 5000',
      ];
      await connection.write(head(...lines) + 'x'.repeat(2_000));
      await sleep(100);
      await connection.vanish();
      await waitUntil(async () => (await tenant.standing()).reservedBytes === 0);
      expect(await tenant.used()).toBe(0);
      expect((await tenant.get('key')).status).toBe(404);
    });

    it('waits for the handler of a client that goes away, and then keeps its account', async () => {
      const gate = service.app.get(Gate);
      const tenant = await service.tenant({ quotaMb: 10 });
      gate.close();
      const connection = await RawConnection.open(service);
      const lines = [
        `PUT /probe/slow/key HTTP/1.1`,
        `X-Tenant-ID: ${tenant.id}`,
        'Content-Length: 4000',
      ];
      await connection.write(head(...lines) + 'x'.repeat(4_000));
      await waitUntil(() => gate.arrived === 1);
      await connection.vanish();
      await sleep(100);
      expect(await tenant.standing()).toMatchObject({ committedBytes: 0, reservedBytes: 4_000 });
      gate.release();
      await waitUntil(() => gate.finished === 1);
      await waitUntil(async () => (await tenant.standing()).reservedBytes === 0);
      expect(await tenant.used()).toBe(4_000);
    });

    it('watches in shadow mode, and refuses nothing', async () => {
      const tenant = await service.tenant({ quotaMb: 1, mode: 'shadow' });
      await tenant.put('one', MB);
      const beyond = await tenant.put('two', MB);
      expect(beyond.status).toBe(201);
      expect(quotaHeadersOf(beyond.headers)).toMatchObject({
        used: '2',
        status: 'exceeded',
        mode: 'shadow',
      });
      expect(await tenant.used()).toBe(2 * MB);
    });

    it('charges nothing while a tenant is off, and all of it once it is on', async () => {
      const tenant = await service.tenant({ quotaMb: 1, mode: 'off' });
      const written = await tenant.put('key', 2 * MB);
      expect(written.status).toBe(201);
      expect(quotaHeadersOf(written.headers)).toEqual({});
      expect((await tenant.put('key', MB)).status).toBe(200);
      expect((await tenant.get('key')).status).toBe(200);
      expect(await tenant.used()).toBe(0);
      await tenant.setQuota({ quotaMb: 1, mode: 'enforce' });
      await service.admin('POST', `/${tenant.id}/reconcile`);
      expect(await tenant.used()).toBe(MB);
      expect((await tenant.put('more', 1)).status).toBe(429);
    });

    it('forgets a deleted tenant with all it has stored', async () => {
      const tenant = await service.tenant({ quotaMb: 1 });
      await tenant.put('key', 'value');
      expect((await service.admin('DELETE', `/${tenant.id}`)).status).toBe(204);
      expect((await service.admin('GET', `/${tenant.id}`)).status).toBe(404);
      expect((await tenant.get('key')).status).toBe(404);
      expect(await tenant.used()).toBe(0);
      await tenant.setQuota({ quotaMb: 1 });
      expect((await tenant.put('key', 'value')).status).toBe(201);
      expect(await tenant.used()).toBe(5);
    });

    it('finds nothing amiss when it counts anew', async () => {
      const tenant = await service.tenant({ quotaMb: 1 });
      await Promise.all(Array.from({ length: 20 }, (_, i) => tenant.put(`key-${i % 7}`, 100 + i)));
      const before = await tenant.used();
      const report = await service.admin('POST', `/${tenant.id}/reconcile`);
      expect(await report.json()).toEqual({
        tenantId: tenant.id,
        driftBytes: 0,
        corrected: 0,
        usedBytes: before,
      });
    });
  });

  it.each(['redis', 'postgres'] as const)(
    'holds a change for the very next request on another instance (values in %s)',
    async (stores) => {
      const settings = await servers.settings({ adapter: 'express', stores });
      const [one, two] = await Promise.all([Service.start(settings), Service.start(settings)]);
      try {
        const here = await one.tenant({ quotaMb: 1 });
        const there = here.at(two);
        for (let round = 0; round < 10; round += 1) {
          await here.setQuota({ quotaMb: 1 });
          expect((await there.put(`key-${round}`, 2 * MB)).status).toBe(413);
          await here.setQuota({ quotaMb: 3 });
          expect((await there.put(`key-${round}`, 2 * MB)).status).toBe(201);
          await there.delete(`key-${round}`);
        }
        await here.setQuota({ quotaMb: 1, mode: 'off' });
        expect(quotaHeadersOf((await there.put('key', 2 * MB)).headers)).toEqual({});
        await here.setQuota({ quotaMb: 3, mode: 'enforce' });
        await here.service.admin('POST', `/${here.id}/reconcile`);
        expect((await there.put('other', 2 * MB)).status).toBe(429);
      } finally {
        await Promise.all([one.stop(), two.stop()]);
      }
    },
  );
});

function count(statuses: readonly number[], status: number): number {
  return statuses.filter((each) => each === status).length;
}

/** The headers of an answer against what GET /quota says right after it. */
async function expectAgreement(tenant: Tenant, headers: Answer['headers']): Promise<void> {
  const { usedBytes, quotaBytes } = await tenant.standing();
  const { used, limit, remaining, percent } = quotaHeadersOf(headers);
  expect(Math.round(Number(used) * MB)).toBe(usedBytes);
  expect(Number(limit) * MB).toBe(quotaBytes);
  expect(Math.round(Number(remaining) * MB)).toBe(Math.max(0, quotaBytes - usedBytes));
  expect(Number(percent)).toBeCloseTo((usedBytes / quotaBytes) * 100, 2);
}
