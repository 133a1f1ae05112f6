import { JwtService } from '@nestjs/jwt';
import { parseTenantId, TENANT_ID_PATTERN, type QuotaRequest } from '@app/quota';
import { z } from 'zod';
import { forbidden, unauthorized } from '../http/problem';
import { TENANT_HEADER } from './header-identity';
import { bearerToken, IdentityVerifier, singleHeader, type Identity } from './identity';

const claimsSchema = z.object({
  tenant_id: z.string().regex(TENANT_ID_PATTERN).optional(),
  role: z.unknown().optional(),
  sub: z.string().optional().catch(undefined),
});

const CHALLENGE = 'Bearer error="invalid_token"';

/** Takes tenant and role from a bearer token signed with our secret (HS256 and nothing else). */
export class JwtIdentity extends IdentityVerifier {
  private readonly jwt: JwtService;

  constructor(secret: string) {
    super();
    this.jwt = new JwtService({ secret, verifyOptions: { algorithms: ['HS256'] } });
  }

  async verify(request: QuotaRequest): Promise<Identity> {
    const token = bearerToken(request);
    if (token === undefined) throw unauthorized('Send a bearer token in the Authorization header.');
    const { tenant_id: tenant, role, sub } = await this.claimsOf(token);
    const header = singleHeader(request, TENANT_HEADER);
    if (header !== undefined && parseTenantId(header) !== tenant) {
      throw forbidden(`The header ${TENANT_HEADER} names another tenant than the token.`);
    }
    const actor = (sub ?? tenant ?? 'unknown').slice(0, 128);
    return { ...(tenant !== undefined && { tenant }), admin: role === 'admin', actor };
  }

  private async claimsOf(token: string): Promise<z.output<typeof claimsSchema>> {
    try {
      return claimsSchema.parse(await this.jwt.verifyAsync<object>(token));
    } catch {
      // Which check failed is for us to know, not for who tries.
      throw unauthorized('The bearer token is not valid, or has expired.', CHALLENGE);
    }
  }
}
