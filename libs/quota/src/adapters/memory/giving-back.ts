import type { RefundReply, RefundRequest, RemoveReply, RemoveRequest } from '../../core';
import type { TenantLedger } from './tenant-ledger';

/** See docs/ledger.md. Never refused. */
export function remove(ledger: TenantLedger, request: RemoveRequest, now: number): RemoveReply {
  const { id, key, version } = request;
  ledger.settle(key, now);
  let mark = ledger.marks.get('remove', id, now);
  if (!mark) {
    const entry = ledger.entry(key);
    const removed = entry !== undefined && (version === undefined || version >= entry.version);
    if (removed) ledger.delete(key);
    if (version !== undefined) ledger.noteVersion(key, version);
    mark = { removed, freedBytes: removed ? entry.bytes : 0 };
    ledger.marks.set('remove', id, mark, now);
  }
  return { ...mark, usage: ledger.usage };
}

/** Gives back bytes without a key, never more than there are. */
export function refund(ledger: TenantLedger, request: RefundRequest, now: number): RefundReply {
  const { id, bytes } = request;
  let mark = ledger.marks.get('refund', id, now);
  if (!mark) {
    const freedBytes = Math.min(bytes, ledger.unkeyed);
    ledger.charge(-freedBytes);
    mark = { freedBytes, underflowBytes: bytes - freedBytes };
    ledger.marks.set('refund', id, mark, now);
  }
  return { ...mark, usage: ledger.usage };
}
