import type { ClosedLoop, ClosedResult } from '../load/closed-loop';
import { closedLoop } from '../load/closed-loop';
import { openLoop, type OpenLoop, type OpenResult } from '../load/open-loop';
import { entriesOf, tenantName, type Traffic } from '../load/traffic';
import type { Subject } from '../stand/subject-process';

/** So many tenants' ledgers are added up before and after a slice. */
const WATCHED = 100;

let slices = 0;

/** Traffic whose keys no other slice has, so that what it must add to the ledger is known. */
export function freshTraffic(shape: { tenants: number; keys: number; bytes: number }): Traffic {
  const slice = `s${slices++}`;
  return { ...shape, tenantPrefix: 'tenant', keyName: (n) => `${slice}-${n}` };
}

/** A slice of load on one subject. */
export interface Slice<T> {
  readonly result: T;
  /** µs of the subject's processor time for each request. */
  readonly cpuMicros: number;
}

/** Whether the traffic adds entries, or overwrites some with as many bytes. */
export interface LedgerChange {
  readonly grows: boolean;
}

/** Closed loop. Throws as {@link measured}. */
export function closedSlice(
  subject: Subject,
  traffic: Traffic,
  options: ClosedLoop,
  ledger?: LedgerChange,
): Promise<Slice<ClosedResult>> {
  return measured(subject, traffic, () => closedLoop(subject.url, traffic, options), ledger);
}

/** Open loop. Throws as {@link measured}. */
export function openSlice(
  subject: Subject,
  traffic: Traffic,
  options: OpenLoop,
): Promise<Slice<OpenResult>> {
  return measured(subject, traffic, () => openLoop(subject.url, traffic, options));
}

/**
 * @throws Error unless the ledger of a guard has grown by what was written, to the byte: a guard that
 * did not do its work was not measured.
 */
async function measured<T extends { requests: number }>(
  subject: Subject,
  traffic: Traffic,
  load: () => Promise<T>,
  { grows }: LedgerChange = { grows: true },
): Promise<Slice<T>> {
  const watched = Math.min(traffic.tenants, WATCHED);
  const names = Array.from({ length: watched }, (_, n) => tenantName(traffic, n));
  const guarded = subject.variant.kind === 'guard';
  const before = guarded ? await subject.ask('usage', names) : null;
  const spent = await subject.ask('spent');
  const result = await load();
  const { cpuMicros } = await subject.ask('spent');
  if (before !== null) {
    const after = await subject.ask('usage', names);
    const expected = grows ? entriesOf(traffic, result.requests, watched) * traffic.bytes : 0;
    const grown = after.committed - before.committed;
    if (grown !== expected || after.reserved > before.reserved) {
      throw new Error(
        `${subject.settings.variant}: the ledger has grown by ${grown} bytes and holds ` +
          `${after.reserved}; expected ${expected} and at most ${before.reserved}.`,
      );
    }
  }
  return { result, cpuMicros: (cpuMicros - spent.cpuMicros) / result.requests };
}
