import { usedBytes, type ReserveReply } from './usage-tracker';

/** What a write found, and what it changes of it, in bytes. */
export interface Change {
  readonly usedBeforeBytes: number;
  /** Negative where an entry shrinks. */
  readonly deltaBytes: number;
}

/**
 * What the ledger's reply to a reservation says of used before and after the write. A store that does
 * not say what the hold added is taken to have added the whole size, or all that is used.
 */
export function changeOf(
  bytes: number,
  reply: Exclude<ReserveReply, { outcome: 'stale' }>,
): Change {
  const used = usedBytes(reply.usage);
  const after = reply.usedAfterBytes;
  if (reply.outcome === 'rejected') return { usedBeforeBytes: used, deltaBytes: after - used };
  // With the hold, used is what it was and what the write adds; one that shrinks its entry adds nothing.
  const grown = reply.grownBytes ?? (after < used ? 0 : Math.min(bytes, used));
  const usedBeforeBytes = Math.max(0, used - grown);
  return { usedBeforeBytes, deltaBytes: after - usedBeforeBytes };
}
