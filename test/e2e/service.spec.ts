import { JwtService } from '@nestjs/jwt';
import { quotaHeadersOf, Service, MB } from './support/service';

jest.setTimeout(60_000);

const SECRET = 'a secret of at least thirty-two bytes';

describe.each(['express', 'fastify'])('the service around the cache, on %s', (adapter) => {
  let service: Service;

  beforeAll(async () => {
    service = await Service.start({ HTTP_ADAPTER: adapter });
  });

  afterAll(async () => {
    await service.stop();
  });

  describe('quotas for admins', () => {
    it('creates, changes, lists and deletes them', async () => {
      const { id } = await service.tenant();
      const created = await service.admin('PUT', `/${id}`, { quotaMb: 5, overageAllowed: true });
      expect([created.status, created.headers.get('etag')]).toEqual([201, '"1"']);
      expect(await created.json()).toMatchObject({
        tenantId: id,
        quotaMb: 5,
        overageAllowed: true,
        overageLimitMb: 10,
        mode: null,
        version: 1,
        usage: { usedBytes: 0, reservedBytes: 0 },
      });
      const changed = await service.admin('PUT', `/${id}`, { quotaMb: 6, mode: 'shadow' });
      expect(changed.status).toBe(200);
      expect(await changed.json()).toMatchObject({ quotaMb: 6, overageAllowed: true, version: 2 });
      expect(await (await service.admin('GET', `/${id}`)).json()).toMatchObject({ mode: 'shadow' });

      const seen: string[] = [];
      let next: string | null = '0';
      while (next !== null) {
        const page = await service.admin('GET', `?limit=2&after=${next}`);
        const body = (await page.json()) as { items: { tenantId: string }[]; next: string | null };
        seen.push(...body.items.map(({ tenantId }) => tenantId));
        next = body.next;
      }
      expect(seen).toEqual([...seen].sort());
      expect(seen).toEqual(expect.arrayContaining([id, 'starter', 'pro', 'enterprise']));

      expect((await service.admin('DELETE', `/${id}`)).status).toBe(204);
      expect((await service.admin('DELETE', `/${id}`)).status).toBe(404);
      expect((await service.admin('GET', `/${id}`)).status).toBe(404);
    });

    it('lets one of two win who change from the same version', async () => {
      const { id } = await service.tenant({ quotaMb: 1 });
      const change = (quotaMb: number): Promise<Response> =>
        service.admin('PUT', `/${id}`, { quotaMb }, { 'If-Match': '"1"' });
      const statuses = await Promise.all([2, 3, 4, 5].map(async (mb) => (await change(mb)).status));
      expect(statuses.sort()).toEqual([200, 409, 409, 409]);
      const late = await service.admin('PUT', `/${id}`, { quotaMb: 9, version: 1 });
      expect(late.status).toBe(409);
      expect(await late.json()).toMatchObject({ error: 'quota_conflict' });
      const fresh = await service.admin('PUT', `/${id}`, { quotaMb: 9, version: 2 });
      expect(fresh.status).toBe(200);
    });

    it.each([
      [{}, 'quotaMb'],
      [{ quotaMb: '5' }, 'quotaMb'],
      [{ quotaMb: 0 }, 'quotaMb'],
      [{ quotaMb: -5 }, 'quotaMb'],
      [{ quotaMb: 1.5 }, 'quotaMb'],
      [{ quotaMb: 2_147_483_648 }, 'quotaMb'],
      [{ quotaMb: 1e300 }, 'quotaMb'],
      [{ quotaMb: null }, 'quotaMb'],
      [{ quotaMb: [5] }, 'quotaMb'],
      [{ quotaMb: 5, overageAllowed: 'yes' }, 'overageAllowed'],
      [{ quotaMb: 5, overageLimitMb: -1 }, 'overageLimitMb'],
      [{ quotaMb: 5, mode: 'on' }, 'mode'],
      [{ quotaMb: 5, version: '1' }, 'version'],
      [{ quotaMb: 5, quotaMB: 6 }, 'body'],
      [[], 'body'],
      ['text', 'body'],
      [null, 'body'],
    ])('refuses %j and says where', async (body, where) => {
      const { id } = await service.tenant();
      const refused = await service.admin('PUT', `/${id}`, body);
      expect(refused.status).toBe(400);
      expect(await refused.json()).toMatchObject({
        error: 'invalid_request',
        errors: [{ where, allowed: expect.any(String) }],
      });
      expect((await service.admin('GET', `/${id}`)).status).toBe(404);
    });

    it.each(['{"quotaMb":5,"__proto__":{"x":1}}', '{"quotaMb":5', '', '\xff', ' '.repeat(70_000)])(
      'refuses a body it cannot take',
      async (body) => {
        const refused = await service.fetch('/admin/quotas/acme', {
          method: 'PUT',
          headers: { Authorization: 'Bearer admin-token-of-the-tests' },
          body,
        });
        expect([400, 413]).toContain(refused.status);
        await refused.text();
      },
    );

    it.each([
      ['GET', '?limit=0'],
      ['GET', '?limit=101'],
      ['GET', '?limit=ten'],
      ['GET', '?after=%7B%7D'],
      ['GET', '/%7B%7D'],
      ['DELETE', '/__proto__'],
      ['POST', '/%7B%7D/reconcile'],
    ])('refuses %s %s', async (method, path) => {
      expect((await service.admin(method, path)).status).toBe(400);
    });

    it('lets in admins only', async () => {
      const ask = async (headers: Record<string, string>): Promise<number> =>
        (await service.fetch('/admin/quotas', { headers })).status;
      expect(await ask({})).toBe(401);
      expect(await ask({ Authorization: 'Bearer wrong' })).toBe(401);
      expect(await ask({ 'X-Tenant-ID': 'starter' })).toBe(403);
      expect(await ask({ Authorization: 'Bearer admin-token-of-the-tests' })).toBe(200);
    });
  });

  describe('operations', () => {
    it('is live and ready', async () => {
      for (const path of ['/health/live', '/health/ready']) {
        const answer = await service.fetch(path);
        expect(answer.status).toBe(200);
        expect(await answer.json()).toMatchObject({ status: 'ok' });
      }
    });

    it('counts decisions', async () => {
      const tenant = await service.tenant({ quotaMb: 1 });
      await tenant.put('key', 1);
      await tenant.put('more', MB);
      const answer = await service.fetch('/metrics');
      expect(answer.headers.get('content-type')).toMatch(/^text\/plain/);
      const text = await answer.text();
      for (const line of [
        /^quota_checks_total\{decision="ALLOW",mode="enforce"\} [1-9]/m,
        /^quota_rejections_total\{mode="enforce"\} [1-9]/m,
        /^quota_check_duration_seconds_bucket\{le="0.00005",source="memory"\} /m,
        /^quota_check_duration_seconds_bucket\{le="1",source="memory"\} /m,
        /^quota_enforcement_mode\{mode="enforce"\} 1$/m,
        /^quota_enforcement_mode\{mode="off"\} 0$/m,
        /^quota_cache_hits_total\{tier="memory"\} /m,
        /^quota_store_state\{store="postgres"\} 0$/m,
        /^quota_tenants_over_quota /m,
        /^quota_reserved_bytes /m,
        /^quota_usage_drift_bytes /m,
        /^quota_reservations_expired_total /m,
      ]) {
        expect(text).toMatch(line);
      }
      for (const name of [
        'warnings_total',
        'late_rejections_total',
        'cache_misses_total',
        'errors_total',
        'degraded_decisions_total',
      ]) {
        expect(text).toContain(`# TYPE quota_${name} counter`);
      }
      expect(text).not.toContain(tenant.id);
    });

    it('describes every route', async () => {
      const document = (await (await service.fetch('/openapi.json')).json()) as {
        paths: Record<
          string,
          Record<string, { responses: Record<string, unknown>; security?: unknown }>
        >;
        components: { securitySchemes: object };
      };
      const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
        Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
      );
      expect(routes.sort()).toEqual([
        'DELETE /admin/quotas/{tenantId}',
        'DELETE /admin/rollout',
        'DELETE /cache/{key}',
        'GET /admin/cache-metrics',
        'GET /admin/quotas',
        'GET /admin/quotas/{tenantId}',
        'GET /admin/quotas/{tenantId}/changes',
        'GET /admin/quotas/{tenantId}/evictions',
        'GET /admin/quotas/{tenantId}/explain',
        'GET /admin/rollout',
        'GET /admin/rollout/history',
        'GET /admin/rollout/impact',
        'GET /admin/simulate',
        'GET /admin/usage',
        'GET /cache/{key}',
        'GET /health/live',
        'GET /health/ready',
        'GET /metrics',
        'GET /quota',
        'POST /admin/quotas/{tenantId}/evict',
        'POST /admin/quotas/{tenantId}/reconcile',
        'POST /cache/{key}',
        'PUT /admin/quotas/{tenantId}',
        'PUT /admin/rollout',
        'PUT /cache/{key}',
      ]);
      expect(Object.keys(document.components.securitySchemes)).toEqual(['tenant-header', 'bearer']);
      const put = document.paths['/cache/{key}']?.['put'];
      expect(Object.keys(put?.responses ?? {})).toEqual(
        expect.arrayContaining(['200', '201', '400', '401', '403', '413', '429', '503']),
      );
      expect(put?.responses['201']).toMatchObject({
        headers: { 'X-Cache-Quota-Used': expect.anything() },
      });
      expect(put?.security).toBeDefined();
      const page = await service.fetch('/docs');
      expect([page.status, page.headers.get('content-type')]).toEqual([
        200,
        expect.stringContaining('text/html'),
      ]);
    });
  });

  it('has three tenants to try it with', async () => {
    const quotas = await Promise.all(
      ['starter', 'pro', 'enterprise'].map(async (tenant) => {
        const quota = (await (await service.admin('GET', `/${tenant}`)).json()) as Record<
          string,
          unknown
        >;
        return [quota['quotaMb'], quota['overageAllowed'], quota['overageLimitMb']];
      }),
    );
    expect(quotas).toEqual([
      [100, true, 10],
      [500, true, 50],
      [2_048, true, 205],
    ]);
  });
});

describe('the quota switched off', () => {
  let service: Service;

  beforeAll(async () => {
    service = await Service.start({
      QUOTA_ENFORCEMENT_ENABLED: 'false',
      QUOTA_UNKNOWN_TENANT: 'deny',
    });
  });

  afterAll(async () => {
    await service.stop();
  });

  it('checks and charges nothing, and every write goes through', async () => {
    const tenant = await service.tenant();
    const written = await tenant.put('key', 3 * MB);
    expect(written.status).toBe(201);
    expect(quotaHeadersOf(written.headers)).toEqual({});
    expect((await tenant.put('key', 2 * MB)).status).toBe(200);
    expect((await tenant.get('key')).status).toBe(200);
    await tenant.setQuota({ quotaMb: 1 });
    expect((await tenant.put('other', 2 * MB)).status).toBe(201);
    expect(await tenant.standing()).toMatchObject({ mode: 'off', usedBytes: 0, reservedBytes: 0 });
    expect((await tenant.delete('key')).status).toBe(204);
    const text = await (await service.fetch('/metrics')).text();
    expect(text).not.toMatch(/^quota_checks_total\{.*[1-9]$/m);
  });
});

describe('unknown tenants refused', () => {
  let service: Service;

  beforeAll(async () => {
    service = await Service.start({ QUOTA_UNKNOWN_TENANT: 'deny' });
  });

  afterAll(async () => {
    await service.stop();
  });

  it('answers 403 until the tenant has a quota; deleting is never refused', async () => {
    const tenant = await service.tenant();
    const refused = await tenant.put('key', 'x');
    expect(refused.status).toBe(403);
    expect(refused.json).toMatchObject({ error: 'unknown_tenant' });
    expect((await tenant.delete('key')).status).toBe(404);
    await tenant.setQuota({ quotaMb: 1 });
    expect((await tenant.put('key', 'x')).status).toBe(201);
  });
});

describe('tenants by token', () => {
  let service: Service;
  const bearer = (
    claims: object,
    options: object = { expiresIn: '5m' },
  ): Record<string, string> => ({
    Authorization: `Bearer ${new JwtService().sign(claims, { secret: SECRET, ...options })}`,
  });

  beforeAll(async () => {
    service = await Service.start({ TENANT_AUTH: 'jwt', JWT_SECRET: SECRET });
  });

  afterAll(async () => {
    await service.stop();
  });

  const put = async (headers: Record<string, string>): Promise<number> => {
    const answer = await service.fetch('/cache/key', { method: 'PUT', headers, body: 'value' });
    await answer.text();
    return answer.status;
  };

  it('lets tenants in by their tokens, and nobody by the header', async () => {
    expect(await put(bearer({ tenant_id: 'acme' }))).toBe(201);
    expect(await put({ ...bearer({ tenant_id: 'acme' }), 'X-Tenant-ID': 'acme' })).toBe(200);
    expect(await put({ ...bearer({ tenant_id: 'acme' }), 'X-Tenant-ID': 'globex' })).toBe(403);
    expect(await put({ 'X-Tenant-ID': 'acme' })).toBe(401);
    expect(await put(bearer({ tenant_id: 'acme' }, { expiresIn: -1 }))).toBe(401);
    expect(await put(bearer({}))).toBe(401);
    expect(await put(bearer({ tenant_id: '{}' }))).toBe(401);
  });

  it('lets admins in by their role', async () => {
    const ask = async (headers: Record<string, string>): Promise<number> =>
      (await service.fetch('/admin/quotas', { headers })).status;
    expect(await ask({})).toBe(401);
    expect(await ask(bearer({ tenant_id: 'acme' }))).toBe(403);
    expect(await ask(bearer({ role: 'admin' }))).toBe(200);
    expect(await ask({ Authorization: 'Bearer admin-token-of-the-tests' })).toBe(401);
  });
});
