import { QuotaUnavailableError } from './errors';
import type { CommitReply, CommitRequest, UsageTracker } from './usage-tracker';

/** Between the two calls; a process that ends there leaves no more than that. */
const HOLD_MS = 10_000;

/**
 * Brings a write that is stored into an account that does not know of it. With the same id it may be
 * sent again.
 *
 * @param request its generation is of no account here
 * @throws QuotaUnavailableError when it is not admitted, which only an enforcing one can be
 */
export async function charge(
  account: Pick<UsageTracker, 'reserve' | 'commit'>,
  request: CommitRequest,
): Promise<CommitReply> {
  const { tenant, id, key, bytes, limits, enforce } = request;
  const write = {
    ...{ tenant, id, bytes, limits, enforce, holdMs: HOLD_MS },
    ...(key !== undefined && { key, keep: true }),
  };
  let reply = await account.reserve({ ...write, stamp: 0 });
  // It was admitted under the configuration of its time.
  if (reply.outcome === 'stale') reply = await account.reserve({ ...write, stamp: reply.stamp });
  if (reply.outcome !== 'reserved') {
    throw new QuotaUnavailableError('charge', { applied: 'no', contact: 'answered' });
  }
  return account.commit({ ...request, generation: reply.generation });
}
