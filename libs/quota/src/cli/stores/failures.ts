import { describeCause } from '../../core/error-event';
import { QuotaError, QuotaUnavailableError, type QuotaErrorCode } from '../../core/errors';
import { CliError, EXIT } from '../errors';

const CODES: Partial<Record<QuotaErrorCode, number>> = {
  invalid_write: EXIT.usage,
  invalid_tenant: EXIT.usage,
  invalid_options: EXIT.usage,
  quota_conflict: EXIT.conflict,
  rollout_conflict: EXIT.conflict,
  kill_switch: EXIT.conflict,
  quota_unavailable: EXIT.unavailable,
};

/** Work on the stores, with what goes wrong said as the command line says it. @throws CliError */
export async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof QuotaError)) throw error;
    throw new CliError(wordsOf(error), CODES[error.code] ?? EXIT.failed);
  }
}

function wordsOf(error: QuotaError): string {
  if (!(error instanceof QuotaUnavailableError)) return error.message;
  const why = describeCause(error);
  const maybe =
    error.applied === 'unknown' ? ' It may have been done all the same: look first.' : '';
  return `${error.message}${why === undefined ? '' : ` ${why}.`}${maybe}`;
}
