import { QuotaDecision } from './decision';
import { Reservation } from './reservation';
import type { AdmittedVerdict } from './verdict';
import type { QuotaWrite } from './write';

/** The verdict while the quota is off for everyone: nothing was looked at, nothing is to be settled. */
export function offVerdict(write: QuotaWrite): AdmittedVerdict {
  const { tenant, key, bytes, ttlSeconds } = write;
  return {
    tenant,
    mode: 'off',
    bytes,
    admitted: true,
    decision: QuotaDecision.ALLOW,
    numbers: null,
    reservation: new Reservation(null, {
      tenant,
      id: '',
      key,
      bytes,
      ttlMs: ttlSeconds === undefined ? undefined : ttlSeconds * 1_000,
      limits: { quotaBytes: 0, hardBytes: 0 },
      mode: 'off',
      generation: '',
    }),
  };
}
