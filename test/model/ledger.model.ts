import {
  QuotaDecision,
  type CommitRequest,
  type EntryCorrection,
  type QuotaLimits,
  type RefundRequest,
  type RemoveRequest,
  type ReserveRequest,
} from '../../libs/quota/src/core';

/** When something falls due, as well as one can know it from outside: not before, surely after. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** The time an operation took, by the harness's clock. */
export interface Moment {
  readonly start: number;
  readonly end: number;
}

export interface UnmeteredPut {
  readonly tenant: string;
  readonly id: string;
  readonly key: string;
  readonly value: { readonly body: Buffer; readonly meta: string };
  readonly ttlMs?: number;
  readonly stamp: number;
}

interface ModelEntry {
  readonly key: string;
  readonly bytes: number;
  readonly version: number;
  readonly due: Span | null;
  readonly value: string | null;
  metered: boolean;
}

interface ModelOpen {
  readonly id: string;
  readonly key: string | undefined;
  readonly bytes: number;
  readonly decision: QuotaDecision;
  readonly due: Span;
  readonly keep: boolean;
  /** It was reaped, and is kept. */
  lapsed: boolean;
}

/** How an id ended. `answer` is what the first reply said. */
interface Mark {
  readonly op: 'write' | 'remove' | 'refund' | 'store';
  readonly state?: 'committed' | 'refused' | 'released';
  /** Unknown where the id was settled without having been reserved. */
  readonly decision?: QuotaDecision;
  readonly answer: object;
}

/** What a reply must be. Fields that are left out are not known to the model. */
export type Expected = Record<string, unknown>;

/** What the ledger keeps of one tenant, as lists; every sum is made anew whenever it is asked for. */
interface Lists {
  entries: ModelEntry[];
  opens: ModelOpen[];
}

/**
 * docs/ledger.md once more, as plainly as possible and with no code of the ledger: no running sums,
 * no indexes, and a write's growth found by trying it out on a copy of the lists.
 */
export class LedgerModel {
  exists = false;
  /** Counts the tenant's lives; each has a name the model learns from replies. */
  life = 0;
  stamp = 0;
  /** Lives that have ended, less those that somebody has looked after. */
  unsettled = 0;
  /**
   * A commit came for a hold without a key that had lapsed and did not fit: whether that is one nobody
   * knows the end of, or one that its owner has come for, a ledger may see either way.
   */
  private unsettledMayDiffer = false;

  private lists: Lists = { entries: [], opens: [] };
  private charges: number[] = [];
  private marks = new Map<string, Mark>();
  /** Versions seen for a key while a write of it was on its way. */
  private seen: { key: string; version: number }[] = [];

  constructor(private readonly slackMs: number) {}

  // What can be asked

  committed(lists = this.lists): number {
    return sum(lists.entries.filter(({ metered }) => metered)) + this.unkeyed();
  }

  unkeyed(): number {
    return this.charges.reduce((all, bytes) => all + bytes, 0);
  }

  unmetered(): number {
    return sum(this.lists.entries.filter(({ metered }) => !metered));
  }

  reserved(lists = this.lists): number {
    const keys = new Set(lists.opens.map(({ key }) => key));
    let all = 0;
    for (const key of keys) {
      const sizes = lists.opens.filter((open) => open.key === key).map(({ bytes }) => bytes);
      if (key === undefined) all += sizes.reduce((a, b) => a + b, 0);
      else {
        const live = sum(lists.entries.filter((entry) => entry.key === key && entry.metered));
        all += Math.max(live, ...sizes) - live;
      }
    }
    return all;
  }

  used(lists = this.lists): number {
    return this.committed(lists) + this.reserved(lists);
  }

  usage(): Expected {
    return {
      committedBytes: this.committed(),
      reservedBytes: this.reserved(),
      unmeteredBytes: this.unmetered(),
    };
  }

  entry(key: string): ModelEntry | undefined {
    return this.lists.entries.find((entry) => entry.key === key);
  }

  view(key: string): Expected {
    const entry = this.entry(key);
    const live = entry ? { bytes: entry.bytes, version: entry.version } : null;
    return { key, entry: live, pending: this.isOnItsWay(key) };
  }

  lapsed(lists = this.lists): ModelOpen[] {
    return lists.opens.filter(({ lapsed }) => lapsed);
  }

  /** A write of the key is, for all that is known. */
  private isOnItsWay(key: string): boolean {
    return this.lists.opens.some((open) => open.key === key && !open.lapsed);
  }

  openOnes(): readonly { readonly id: string; readonly due: Span }[] {
    return this.lists.opens;
  }

  /** Everything that falls due one day. */
  spans(): Span[] {
    const { entries, opens } = this.lists;
    return [...entries, ...opens.filter(({ lapsed }) => !lapsed)].flatMap(({ due }) =>
      due ? [due] : [],
    );
  }

  // Time

  reapAll(at: Moment): { entries: number; opens: number } {
    const due = this.due(at);
    for (const { key } of due.entries) this.deleteEntry(key);
    for (const open of due.opens) {
      if (open.keep && open.key !== undefined) open.lapsed = true;
      else this.deleteOpen(open.id);
      if (open.keep && open.key === undefined) this.unsettled++;
    }
    return { entries: due.entries.length, opens: due.opens.length };
  }

  /** The numbers for a reply; left out while the ledger may or may not have reaped what is due. */
  private usageAt(at: Moment): Expected {
    const { entries, opens } = this.due(at);
    return entries.length + opens.length > 0 ? {} : { usage: this.usage() };
  }

  private due(at: Moment): Lists {
    const isDue = ({ due }: { due: Span | null }): boolean => due !== null && due.to <= at.start;
    return {
      entries: this.lists.entries.filter(isDue),
      opens: this.lists.opens.filter((open) => !open.lapsed && isDue(open)),
    };
  }

  private settleKey(key: string | undefined, at: Moment): void {
    for (const entry of this.due(at).entries) if (entry.key === key) this.deleteEntry(entry.key);
  }

  private span(ms: number, at: Moment): Span {
    return { from: at.start + ms - this.slackMs, to: at.end + ms + this.slackMs };
  }

  // Changes to the lists

  private deleteEntry(key: string): void {
    this.lists.entries = this.lists.entries.filter((entry) => entry.key !== key);
  }

  private deleteOpen(id: string): void {
    const { opens } = this.lists;
    const key = opens.find((open) => open.id === id)?.key;
    this.lists.opens = opens.filter((open) => open.id !== id);
    if (!this.lists.opens.some((open) => open.key === key)) {
      this.seen = this.seen.filter((note) => note.key !== key);
    }
  }

  private putEntry(entry: ModelEntry): void {
    this.lists = withEntry(this.lists, entry);
  }

  private noteVersion(key: string, version: number | undefined): void {
    if (version === undefined || !this.lists.opens.some((open) => open.key === key)) return;
    this.seen.push({ key, version });
  }

  private makeMetered(): void {
    for (const entry of this.lists.entries) entry.metered = true;
  }

  private mark(op: Mark['op'], id: string): Mark | undefined {
    return this.marks.get(`${op} ${id}`);
  }

  private setMark(op: Mark['op'], id: string, mark: Omit<Mark, 'op'>): void {
    this.marks.set(`${op} ${id}`, { op, ...mark });
  }

  // Operations: each changes the model and says what the reply must be

  reserve(request: ReserveRequest, at: Moment): Expected {
    const { id, key, bytes, limits, stamp, enforce } = request;
    if (this.isStale(stamp)) return { outcome: 'stale', stamp: this.stamp };
    this.settleKey(key, at);
    const known = this.recall(id, at);
    if (known) return known;
    this.reapAll(at);
    const verdict = this.judge(key, bytes, limits);
    this.makeMetered();
    if (this.exists) this.stamp = stamp;
    if (enforce && this.isUndecided(verdict, limits)) return UNDECIDED;
    if (enforce && verdict.decision === QuotaDecision.REJECT) {
      return this.rejection(key, verdict.usedAfterBytes, limits, at);
    }
    this.exists = true;
    this.stamp = stamp;
    const due = this.span(request.holdMs, at);
    const { decision } = verdict;
    const keep = request.keep ?? false;
    this.lists.opens.push({ id, key, bytes, decision, due, keep, lapsed: false });
    return { outcome: 'reserved', ...verdict, usage: this.usage() };
  }

  check(request: Omit<ReserveRequest, 'id' | 'holdMs'>, at: Moment): Expected {
    const { key, bytes, limits, stamp, enforce } = request;
    if (this.isStale(stamp)) return { outcome: 'stale', stamp: this.stamp };
    this.reapAll(at);
    const verdict = this.judge(key, bytes, limits);
    if (enforce && this.isUndecided(verdict, limits)) return UNDECIDED;
    const before = this.lists;
    this.lists = metered(before);
    const reply =
      enforce && verdict.decision === QuotaDecision.REJECT
        ? this.rejection(key, verdict.usedAfterBytes, limits, at)
        : { outcome: 'reserved', ...verdict };
    this.lists = before;
    return this.unmetered() === 0 ? { ...reply, usage: this.usage() } : omitUsage(reply);
  }

  commit(request: CommitRequest, life: number, at: Moment): Expected {
    const { id, key, bytes, enforce, version, ttlMs, value } = request;
    if (!this.exists || life !== this.life) return { outcome: 'bounced' };
    this.settleKey(key, at);
    const open = this.lists.opens.find((one) => one.id === id);
    const mark = this.mark('write', id);
    if (!open && mark) {
      if (mark.state === 'released') return { outcome: 'bounced' };
      return { ...mark.answer, ...this.usageAt(at) };
    }
    const decision = open ? { decision: open.decision } : {};
    const old = key === undefined ? undefined : this.entry(key);
    if (key !== undefined && version !== undefined && version < this.newest(key)) {
      if (open) this.deleteOpen(id);
      const answer = { outcome: 'committed' };
      this.setMark('write', id, { state: 'committed', ...decision, answer });
      return { ...answer, ...this.usageAt(at) };
    }
    if (!open || bytes > open.bytes) {
      const room = enforce ? this.room(request, at) : 'enough';
      if (room === 'undecided') return UNDECIDED;
      if (room === 'none') {
        // Whoever refuses has reaped first; a hold that was due then may be gone already.
        this.deleteOpen(id);
        this.setMark('write', id, {
          state: 'refused',
          ...decision,
          answer: { outcome: 'refused' },
        });
        return { outcome: 'refused', usage: this.usage() };
      }
    }
    if (open) this.deleteOpen(id);
    const due = ttlMs === undefined ? null : this.span(ttlMs, at);
    if (key === undefined) this.charges.push(bytes);
    else {
      this.noteVersion(key, version);
      const content = value ? describe(value) : null;
      this.putEntry({ key, bytes, version: version ?? 0, due, value: content, metered: true });
    }
    const answer = { outcome: 'committed', replaced: old !== undefined };
    this.setMark('write', id, { state: 'committed', ...decision, answer });
    return { ...answer, ...this.usageAt(at) };
  }

  release(id: string, at: Moment): Expected {
    if (!this.exists) return { outcome: 'settled', usage: this.usage() };
    const open = this.lists.opens.find((one) => one.id === id);
    if (open) this.settleKey(open.key, at);
    this.deleteOpen(id);
    if (open || !this.mark('write', id)) {
      const decision = open ? { decision: open.decision } : {};
      this.setMark('write', id, { state: 'released', ...decision, answer: {} });
    }
    return { outcome: open ? 'released' : 'settled', ...this.usageAt(at) };
  }

  remove({ id, key, version }: RemoveRequest, at: Moment): Expected {
    if (!this.exists) return { removed: false, freedBytes: 0, usage: this.usage() };
    this.settleKey(key, at);
    const mark = this.mark('remove', id);
    if (mark) return { ...mark.answer, ...this.usageAt(at) };
    const entry = this.entry(key);
    const removed = entry !== undefined && !(version !== undefined && version < entry.version);
    if (removed) this.deleteEntry(key);
    this.noteVersion(key, version);
    const answer = { removed, freedBytes: removed ? entry.bytes : 0 };
    this.setMark('remove', id, { answer });
    return { ...answer, ...this.usageAt(at) };
  }

  refund({ id, bytes }: RefundRequest, at: Moment): Expected {
    if (!this.exists) return { freedBytes: 0, underflowBytes: bytes, usage: this.usage() };
    const mark = this.mark('refund', id);
    if (mark) return { ...mark.answer, ...this.usageAt(at) };
    const freedBytes = Math.min(bytes, this.unkeyed());
    this.charges.push(-freedBytes);
    const answer = { freedBytes, underflowBytes: bytes - freedBytes };
    this.setMark('refund', id, { answer });
    return { ...answer, ...this.usageAt(at) };
  }

  sweep(max: number, at: Moment): Expected {
    const due = this.due(at);
    const all = due.entries.length <= max && due.opens.length <= max;
    const before = this.used();
    const lapsedBefore = this.lapsed().length > 0;
    // Which ones go when not all do is the ledger's choice; the read that follows takes the rest.
    this.reapAll(at);
    return {
      expiredEntries: Math.min(max, due.entries.length),
      expiredReservations: Math.min(max, due.opens.length),
      more: !all,
      ...(all && !this.unsettledMayDiffer ? { unsettled: this.unsettled } : {}),
      ...(all || lapsedBefore ? { lapsed: this.lapsed().length > 0 } : {}),
      ...(all ? { freedBytes: before - this.used() } : {}),
    };
  }

  recount(at: Moment): Expected {
    this.reapAll(at);
    this.makeMetered();
    return { driftBytes: 0, usage: this.usage() };
  }

  /** Whatever is not lapsed is left alone. */
  letGo(ids: readonly string[], at: Moment): Expected {
    const gone = this.lapsed().filter(({ id }) => ids.includes(id));
    for (const { id, key } of gone) {
      this.settleKey(key, at);
      this.deleteOpen(id);
    }
    return { gone: gone.length };
  }

  settled(count: number): Expected {
    const lowered = Math.min(count, this.unsettled);
    this.unsettled -= lowered;
    return this.unsettledMayDiffer ? {} : { lowered };
  }

  drop(): void {
    if (!this.exists) return;
    this.life++;
    this.unsettled++;
    this.lists = { entries: [], opens: [] };
    this.charges = [];
    this.marks = new Map();
    this.seen = [];
  }

  correct({ key, bytes, version, seen }: EntryCorrection, at: Moment): Expected {
    this.settleKey(key, at);
    const entry = this.entry(key);
    const asSeen = entry?.bytes === seen?.bytes && entry?.version === seen?.version;
    const nothing = !entry && bytes === undefined;
    if (!asSeen || this.isOnItsWay(key) || nothing) return { applied: 0, deltaBytes: 0 };
    if (bytes === undefined) this.deleteEntry(key);
    else {
      this.exists = true;
      this.putEntry({ key, bytes, version: version ?? 0, due: null, value: null, metered: true });
    }
    return { applied: 1, deltaBytes: (bytes ?? 0) - (entry?.bytes ?? 0) };
  }

  putUnmetered(request: UnmeteredPut, at: Moment): Expected {
    const { id, key, value, ttlMs, stamp } = request;
    if (this.isStale(stamp)) return { outcome: 'stale', stamp: this.stamp };
    this.settleKey(key, at);
    const mark = this.mark('store', id);
    if (mark) return { ...mark.answer, ...this.usageAt(at) };
    const answer = { outcome: 'stored', replaced: this.entry(key) !== undefined };
    this.exists = true;
    this.stamp = Math.max(this.stamp, stamp);
    const due = ttlMs === undefined ? null : this.span(ttlMs, at);
    const bytes = value.body.length;
    this.putEntry({ key, bytes, version: 0, due, value: describe(value), metered: false });
    this.setMark('store', id, { answer });
    return { ...answer, ...this.usageAt(at) };
  }

  // Decisions

  private isStale(stamp: number): boolean {
    return this.exists && stamp < this.stamp;
  }

  /** The reply to a reserve whose id is known already. */
  private recall(id: string, at: Moment): Expected | null {
    const open = this.lists.opens.find((one) => one.id === id);
    const mark = this.mark('write', id);
    if (!open && !mark) return null;
    const decision = open?.decision ?? mark?.decision;
    const known = { outcome: 'reserved', ...(decision ? { decision } : {}) };
    const usage = this.usageAt(at);
    if (!('usage' in usage)) return known;
    if (!open) return { ...known, ...usage, usedAfterBytes: this.used() };
    const extra = open.key === undefined ? open.bytes : 0;
    const usedAfterBytes = this.used(committedAs(this.lists, open, open.bytes)) + extra;
    return { ...known, ...usage, usedAfterBytes };
  }

  /** With everything metered, as a reserve makes it. */
  private judge(
    key: string | undefined,
    bytes: number,
    limits: QuotaLimits,
  ): { decision: QuotaDecision; usedAfterBytes: number } {
    const before = metered(this.lists);
    const held = { ...before, opens: [...before.opens, triedOut(key, bytes)] };
    const grows = this.used(held) > this.used(before);
    const extra = key === undefined ? bytes : 0;
    const usedAfterBytes = grows
      ? this.used(held)
      : this.used(committedAs(held, { id: TRIED_OUT, key }, bytes)) + extra;
    return { usedAfterBytes, decision: verdict(usedAfterBytes, grows, limits) };
  }

  /** Who would refuse cannot say so where it would fit but for what has lapsed. */
  private isUndecided(
    { decision, usedAfterBytes }: { decision: QuotaDecision; usedAfterBytes: number },
    { hardBytes }: QuotaLimits,
  ): boolean {
    return decision === QuotaDecision.REJECT && usedAfterBytes - sum(this.lapsed()) <= hardBytes;
  }

  /** For a commit of more than is held. Reaps before it says anything but that there is enough. */
  private room(request: CommitRequest, at: Moment): 'enough' | 'none' | 'undecided' {
    const { id, key, bytes, limits } = request;
    const usedAfter = (): number => {
      const extra = key === undefined ? bytes : 0;
      return this.used(committedAs(this.lists, { id, key }, bytes)) + extra;
    };
    const withoutIt = (): Lists => ({
      ...this.lists,
      opens: this.lists.opens.filter((one) => one.id !== id),
    });
    const fits = (): boolean =>
      usedAfter() <= limits.hardBytes || usedAfter() <= this.used(withoutIt());
    if (fits()) return 'enough';
    const unsettledBefore = this.unsettled;
    const own = this.lists.opens.find((one) => one.id === id);
    this.reapAll(at);
    const reaped = own !== undefined && !this.lists.opens.includes(own);
    if (reaped && this.unsettled > unsettledBefore) this.unsettledMayDiffer = true;
    if (fits()) return 'enough';
    const others = sum(this.lapsed(withoutIt()));
    return usedAfter() - others <= limits.hardBytes ? 'undecided' : 'none';
  }

  private newest(key: string): number {
    const seen = this.seen.filter((note) => note.key === key).map(({ version }) => version);
    return Math.max(0, this.entry(key)?.version ?? 0, ...seen);
  }

  private rejection(
    key: string | undefined,
    usedAfterBytes: number,
    { hardBytes }: QuotaLimits,
    at: Moment,
  ): Expected {
    const usage = this.usage();
    const need = usedAfterBytes - hardBytes;
    const retryAfter = {
      least: this.freedAt(need, key, (span) => span.from) - at.end,
      most: this.freedAt(need, key, (span) => span.to) - at.start,
    };
    return { outcome: 'rejected', usedAfterBytes, usage, retryAfter };
  }

  /** When so many bytes will have expired with every other write staying on its way; Infinity: never. */
  private freedAt(need: number, key: string | undefined, when: (span: Span) => number): number {
    const others = this.lists.entries
      .filter((entry) => entry.due && entry.key !== key)
      .sort((a, b) => when(a.due!) - when(b.due!));
    let left = this.lists;
    for (const { key: gone, due } of others) {
      left = { ...left, entries: left.entries.filter((entry) => entry.key !== gone) };
      if (this.used() - this.used(left) >= need) return when(due!);
    }
    return Infinity;
  }
}

/** An {@link UndecidedError}: nothing is held. */
const UNDECIDED: Expected = { outcome: 'undecided' };

const TRIED_OUT = 'tried out';

function triedOut(key: string | undefined, bytes: number): ModelOpen {
  const due = { from: Infinity, to: Infinity };
  const decision = QuotaDecision.ALLOW;
  return { id: TRIED_OUT, key, bytes, decision, due, keep: false, lapsed: false };
}

export function describe({ body, meta }: { body: Buffer; meta: string }): string {
  return `${body.toString('hex')} ${meta}`;
}

function verdict(used: number, grows: boolean, limits: QuotaLimits): QuotaDecision {
  if (used <= limits.quotaBytes) return QuotaDecision.ALLOW;
  return used <= limits.hardBytes || !grows ? QuotaDecision.WARN : QuotaDecision.REJECT;
}

function sum(items: readonly { bytes: number }[]): number {
  return items.reduce((all, { bytes }) => all + bytes, 0);
}

function omitUsage({ usage: _, ...rest }: Expected): Expected {
  return rest;
}

function metered(lists: Lists): Lists {
  return { ...lists, entries: lists.entries.map((entry) => ({ ...entry, metered: true })) };
}

function withEntry(lists: Lists, entry: ModelEntry): Lists {
  return { ...lists, entries: [...lists.entries.filter(({ key }) => key !== entry.key), entry] };
}

/** The lists once a write is in place of its key's entry. A charge without a key is not in any list. */
function committedAs(
  lists: Lists,
  { id, key }: { id: string; key: string | undefined },
  bytes: number,
): Lists {
  const without = { ...lists, opens: lists.opens.filter((open) => open.id !== id) };
  if (key === undefined) return without;
  return withEntry(without, { key, bytes, version: 0, due: null, value: null, metered: true });
}
