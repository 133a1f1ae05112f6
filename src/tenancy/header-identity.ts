import { parseTenantId, type QuotaRequest } from '@app/quota';
import { createHash, timingSafeEqual } from 'node:crypto';
import { unauthorized } from '../http/problem';
import { bearerToken, IdentityVerifier, singleHeader, type Identity } from './identity';

export const TENANT_HEADER = 'X-Tenant-ID';

/**
 * Trusts `X-Tenant-ID`: for a gateway in front that sets it, and for development. Admin is who
 * knows the admin token.
 */
export class HeaderIdentity extends IdentityVerifier {
  private readonly adminToken: Buffer | null;

  constructor(adminToken: string | undefined) {
    super();
    this.adminToken = adminToken === undefined ? null : digest(adminToken);
  }

  async verify(request: QuotaRequest): Promise<Identity> {
    const header = singleHeader(request, TENANT_HEADER);
    const tenant = header === undefined || header === '' ? undefined : parseTenantId(header);
    const token = bearerToken(request);
    const admin = token !== undefined && this.isAdminToken(token);
    if (tenant === undefined && !admin) {
      throw unauthorized(
        token === undefined
          ? `The request names no tenant in ${TENANT_HEADER} and brings no bearer token.`
          : 'The bearer token is not valid.',
      );
    }
    return { ...(tenant !== undefined && { tenant }), admin, actor: admin ? 'admin' : 'tenant' };
  }

  /** In a time that says nothing of how much of the token was right. */
  private isAdminToken(token: string): boolean {
    return this.adminToken !== null && timingSafeEqual(digest(token), this.adminToken);
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
