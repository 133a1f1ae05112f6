import type { QuotaRequest } from '@app/quota';
import type { IncomingMessage } from 'node:http';
import { invalidInput } from '../http/problem';

/** Who sent a request, as far as that is verified. */
export interface Identity {
  readonly tenant?: string;
  readonly admin: boolean;
  /** For the audit trail of quota changes. */
  readonly actor: string;
}

/** A request that an identity guard has seen; the quota's tenant resolver reads this and nothing else. */
export type IdentifiedRequest = QuotaRequest & { identity?: Identity };

/** Where the quota's tenant resolver finds the tenant on a request. */
export const TENANT_PATH = 'identity.tenant';

/** Verifies who sent a request. */
export abstract class IdentityVerifier {
  /**
   * @throws ProblemException 401 for an identity that is missing or not to be believed, 400 for one
   * that is malformed, 403 for one that reaches for another tenant.
   */
  abstract verify(request: QuotaRequest): Promise<Identity>;
}

/** The value of a header that may stand once at most; which of two counts must not depend on the reader. */
export function singleHeader(request: QuotaRequest, name: string): string | undefined {
  const raw = request.raw ?? (request as unknown as IncomingMessage);
  const values = raw.headersDistinct[name.toLowerCase()] ?? [];
  if (values.length > 1) {
    throw invalidInput(name, 'once in a request', `The header ${name} stands more than once.`);
  }
  return values[0];
}

/** The token of an `Authorization: Bearer` header; undefined without the header, or with another scheme. */
export function bearerToken(request: QuotaRequest): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(singleHeader(request, 'Authorization') ?? '')?.[1];
}
