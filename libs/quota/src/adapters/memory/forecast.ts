import type { TenantLedger } from './tenant-ledger';

export interface Forecast {
  /** Used once the write is in place of the key's entry and nothing else happens. */
  readonly usedAfter: number;
  /** It raises what the tenant can come to hold. */
  readonly grows: boolean;
}

/**
 * What a new write of `bytes` would make of used. Entries count as they will once everything
 * unmetered is metered, since a reserve is what meters it.
 */
export function forecastReserve(
  ledger: TenantLedger,
  key: string | undefined,
  bytes: number,
): Forecast {
  const used = ledger.usedWhenFolded;
  if (key === undefined) return { usedAfter: used + bytes, grows: bytes > 0 };
  const live = ledger.entry(key)?.bytes ?? 0;
  const others = ledger.pendingOf(key)?.largest ?? 0;
  const exposure = Math.max(live, others);
  return {
    usedAfter: used - exposure + Math.max(bytes, others),
    grows: bytes > exposure,
  };
}

/**
 * What a commit of `bytes` would make of used. It is asked only for more bytes than the commit's own
 * hold of `held`, so that this hold makes no difference among the sizes that are open for the key.
 */
export function forecastCommit(
  ledger: TenantLedger,
  key: string | undefined,
  bytes: number,
  held: number,
): Forecast {
  if (key === undefined) return { usedAfter: ledger.used - held + bytes, grows: bytes > 0 };
  const entry = ledger.entry(key);
  const live = entry && ledger.isMetered(entry) ? entry.bytes : 0;
  const open = ledger.pendingOf(key)?.largest ?? 0;
  const exposure = Math.max(live, open);
  return {
    usedAfter: ledger.used - exposure + Math.max(bytes, open),
    grows: bytes > exposure,
  };
}
