import { setTimeout as pause } from 'node:timers/promises';
import type { HeldReservation, Holds } from './holds';
import type { UsageTracker } from './usage-tracker';

/** So many reservations at once, so that they never fill the connection. */
const AT_ONCE = 50;
/** Together a little longer than a client takes to be back once its server is (redis-options.ts). */
const TRIES = 9;
const PAUSE_MS = 80;

/**
 * Holds once more, in a ledger that may have lost them, what is open of a tenant, or of all (null). The
 * ledger's own connection may come back a little later than the word that led here.
 *
 * @param keep see ReserveRequest.keep
 * @returns why some could not be held, or null
 */
export async function holdAnew(
  holds: Holds,
  tenant: string | null,
  tracker: Pick<UsageTracker, 'holdAnew'>,
  keep: boolean,
): Promise<unknown> {
  let failure: unknown = null;
  const attempt = async ({ write, leftMs }: HeldReservation): Promise<boolean> => {
    if (!holds.isOpen(write.id)) return true;
    const { generation, ...rest } = write;
    const request = { ...rest, ...{ stamp: 0, enforce: false, holdMs: leftMs, keep } };
    try {
      await tracker.holdAnew(request, generation);
      return true;
    } catch (error) {
      failure = error;
      return false;
    }
  };
  let left = holds.ofTenant(tenant);
  for (let tries = 1; left.length > 0; tries += 1) {
    const failed: HeldReservation[] = [];
    for (let i = 0; i < left.length; i += AT_ONCE) {
      const some = left.slice(i, i + AT_ONCE);
      const done = await Promise.all(some.map(attempt));
      failed.push(...some.filter((_, n) => done[n] === false));
    }
    if (failed.length > 0 && tries === TRIES) return failure;
    left = failed;
    if (left.length > 0) await pause(PAUSE_MS);
  }
  return null;
}
