import { HttpException } from '@nestjs/common';
import { JwtService, type JwtSignOptions } from '@nestjs/jwt';
import { QuotaError, toHttpException, type QuotaRequest } from '@app/quota';
import { HeaderIdentity } from './header-identity';
import type { IdentityVerifier } from './identity';
import { JwtIdentity } from './jwt-identity';

const SECRET = 'a secret of at least thirty-two bytes';

/** A request with these headers, each as often as its list is long. */
function request(headers: Record<string, string | string[]>): QuotaRequest {
  const distinct = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), [value].flat()]),
  );
  return { headers: {}, raw: { headersDistinct: distinct } } as unknown as QuotaRequest;
}

async function statusOf(
  verifier: IdentityVerifier,
  headers: Record<string, string | string[]>,
): Promise<number> {
  try {
    await verifier.verify(request(headers));
    return 200;
  } catch (error) {
    if (error instanceof QuotaError) return toHttpException(error).getStatus();
    if (error instanceof HttpException) return error.getStatus();
    throw error;
  }
}

describe('HeaderIdentity', () => {
  const verifier = new HeaderIdentity('token');

  it('takes the tenant from the header', async () => {
    await expect(verifier.verify(request({ 'X-Tenant-ID': 'acme' }))).resolves.toEqual({
      tenant: 'acme',
      admin: false,
      actor: 'tenant',
    });
  });

  it('takes who knows the admin token for an admin, with or without a tenant', async () => {
    const Authorization = 'Bearer token';
    await expect(verifier.verify(request({ Authorization }))).resolves.toEqual({
      admin: true,
      actor: 'admin',
    });
    await expect(
      verifier.verify(request({ Authorization, 'X-Tenant-ID': 'acme' })),
    ).resolves.toEqual({ tenant: 'acme', admin: true, actor: 'admin' });
  });

  it.each([
    ['nothing', {}, 401],
    ['an empty header', { 'X-Tenant-ID': '' }, 401],
    ['the header twice', { 'X-Tenant-ID': ['acme', 'globex'] }, 400],
    ['the header twice, the same', { 'X-Tenant-ID': ['acme', 'acme'] }, 400],
    ['braces', { 'X-Tenant-ID': '{}' }, 400],
    ['__proto__', { 'X-Tenant-ID': '__proto__' }, 400],
    ['a list', { 'X-Tenant-ID': 'acme, globex' }, 400],
    ['15 KB', { 'X-Tenant-ID': 'a'.repeat(15_000) }, 400],
    ['a wrong admin token', { Authorization: 'Bearer wrong' }, 401],
    ['another scheme', { Authorization: 'Basic token' }, 401],
    ['two admin tokens', { Authorization: ['Bearer token', 'Bearer wrong'] }, 400],
  ])('refuses %s', async (_name, headers, status) => {
    expect(await statusOf(verifier, headers as Record<string, string>)).toBe(status);
  });

  it('makes nobody an admin without an admin token', async () => {
    const nobody = new HeaderIdentity(undefined);
    expect(await statusOf(nobody, { Authorization: 'Bearer undefined' })).toBe(401);
  });
});

describe('JwtIdentity', () => {
  const verifier = new JwtIdentity(SECRET);
  const sign = (claims: object, options: JwtSignOptions = {}): string =>
    new JwtService().sign(claims, { secret: SECRET, expiresIn: '5m', ...options });
  const bearer = (token: string): Record<string, string> => ({ Authorization: `Bearer ${token}` });

  it('takes tenant, role and actor from the token', async () => {
    const token = sign({ tenant_id: 'acme', role: 'admin', sub: 'alice' });
    await expect(verifier.verify(request(bearer(token)))).resolves.toEqual({
      tenant: 'acme',
      admin: true,
      actor: 'alice',
    });
  });

  it('lets a tenant name itself in the header, and nobody else', async () => {
    const token = sign({ tenant_id: 'acme' });
    const as = (tenant: string): Record<string, string> => ({
      ...bearer(token),
      'X-Tenant-ID': tenant,
    });
    expect(await statusOf(verifier, as('acme'))).toBe(200);
    expect(await statusOf(verifier, as('globex'))).toBe(403);
    expect(await statusOf(verifier, as('{}'))).toBe(400);
  });

  it('makes no admin of another role', async () => {
    for (const role of ['Admin', 'administrator', ['admin'], true, undefined]) {
      const token = sign({ tenant_id: 'acme', role });
      const { admin } = await verifier.verify(request(bearer(token)));
      expect(admin).toBe(false);
    }
  });

  const unsigned = (): string => {
    const part = (value: object): string =>
      Buffer.from(JSON.stringify(value)).toString('base64url');
    return `${part({ alg: 'none', typ: 'JWT' })}.${part({ tenant_id: 'acme', role: 'admin' })}.`;
  };

  it.each([
    ['no token', () => ''],
    ['something else', () => 'x.y.z'],
    ['an expired one', () => sign({ tenant_id: 'acme' }, { expiresIn: -1 })],
    ['one that is not valid yet', () => sign({ tenant_id: 'acme' }, { notBefore: 60 })],
    ['one signed by somebody else', () => sign({ tenant_id: 'acme' }, { secret: `${SECRET}!` })],
    ['one of another algorithm', () => sign({ tenant_id: 'acme' }, { algorithm: 'HS512' })],
    ['an unsigned one', unsigned],
    ['a malformed tenant', () => sign({ tenant_id: '{}' })],
    ['a tenant that is no text', () => sign({ tenant_id: 7 })],
    [
      'one that was changed',
      () => {
        const [head, , signature] = sign({ tenant_id: 'acme' }).split('.');
        const claims = Buffer.from('{"tenant_id":"globex"}').toString('base64url');
        return `${String(head)}.${claims}.${String(signature)}`;
      },
    ],
  ])('refuses %s', async (_name, token) => {
    expect(await statusOf(verifier, bearer(token()))).toBe(401);
  });
});
