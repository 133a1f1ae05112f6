import { InvalidTenantError } from './errors';

/** The form of a tenant id, from the contract; it covers UUIDs. */
export const TENANT_ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** {@link TENANT_ID_PATTERN} in words. */
export const TENANT_ID_ALLOWED =
  '1 to 128 characters of A-Z, a-z, 0-9, ".", "_" and "-", beginning with a letter or digit';

/**
 * Returns the value as a tenant id.
 *
 * @throws InvalidTenantError when it is absent, not a string, or not of the allowed form. The value
 * itself is not repeated in the message: it comes from outside and may be long or hostile.
 */
export function parseTenantId(value: unknown): string {
  if (value === undefined || value === null || value === '') {
    throw new InvalidTenantError(true, 'The request names no tenant.');
  }
  if (typeof value !== 'string' || !TENANT_ID_PATTERN.test(value)) {
    throw new InvalidTenantError(
      false,
      `The tenant id is malformed. Allowed: ${TENANT_ID_ALLOWED}.`,
    );
  }
  return value;
}
