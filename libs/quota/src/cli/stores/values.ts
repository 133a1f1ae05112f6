import { parseSince, SINCE_ALLOWED } from '../../core/since';
import { CliError, EXIT } from '../errors';

/** Ms since the epoch. @throws CliError */
export function sinceOf(text: unknown): number {
  const from = parseSince(String(text));
  if (from !== null) return from;
  throw new CliError(`--since has to be ${SINCE_ALLOWED}.`, EXIT.usage);
}
