import {
  UndecidedError,
  ValueTracker,
  usedBytes,
  type CommitRequest,
  type EntryCorrection,
  type LapsedHold,
  type QuotaLimits,
  type RefundRequest,
  type RemoveRequest,
  type ReserveRequest,
  type Usage,
  type UsageTracker,
} from '../../libs/quota/src/core';
import { LedgerModel, describe as contentOf, type Expected, type Moment } from './ledger.model';
import type { UnmeteredPut } from './ledger.model';

/** One implementation under the model. */
export interface ModelHarness {
  readonly tracker: UsageTracker;
  /** A valid tenant id that nothing has used before. */
  freshTenant(): string;
  /** Ms by a clock that goes as the ledger's does. */
  now(): number;
  /** Lets so much time pass for the ledger. */
  advance(ms: number): Promise<void>;
  /** How far `now` and the ledger's clock may part; 0: they are the same, and stand still in between. */
  readonly slackMs: number;
  /** Lives and holds are 1 to 4 of these; far longer than an operation takes. */
  readonly unitMs: number;
  close?(): Promise<void>;
}

/** Anything that can be sent, and sent again. */
export type Request =
  | { readonly op: 'reserve'; readonly args: ReserveRequest }
  | { readonly op: 'check'; readonly args: Omit<ReserveRequest, 'id' | 'holdMs'> }
  | { readonly op: 'commit'; readonly args: CommitRequest; readonly life: number }
  | { readonly op: 'release'; readonly args: { tenant: string; id: string } }
  | { readonly op: 'remove'; readonly args: RemoveRequest }
  | { readonly op: 'refund'; readonly args: RefundRequest }
  | { readonly op: 'sweep'; readonly args: { max: number } }
  | { readonly op: 'recount' }
  | { readonly op: 'drop' }
  | { readonly op: 'let go'; readonly args: { ids: readonly string[] } }
  | { readonly op: 'settled'; readonly args: { count: number } }
  | { readonly op: 'correct'; readonly args: EntryCorrection }
  | { readonly op: 'store'; readonly args: UnmeteredPut };

/** A reservation the caller could still settle. */
export interface Write {
  readonly id: string;
  readonly key: string | undefined;
  readonly bytes: number;
  /** Its owner died: nobody will settle it. */
  readonly crashed: boolean;
  /** Absent: never admitted so far. */
  admitted?: { generation: string; life: number };
}

/** Real time went on while an operation ran, so that something may or may not have been due for it. */
export class Inconclusive extends Error {}

export const KEYS = ['a', 'b', '__proto__', 'x}y'] as const;

/** The ledger and its model side by side, with what the callers know. */
export class World {
  readonly tenant: string;
  readonly model: LedgerModel;
  readonly writes: Write[] = [];
  readonly sent: Request[] = [];
  limits: QuotaLimits = { quotaBytes: 100, hardBytes: 120 };
  enforce = true;
  stamp = 1;
  version = 1;
  /** What the tracker last listed. */
  lapsed: readonly LapsedHold[] = [];

  private count = 0;
  private before: Usage = { committedBytes: 0, reservedBytes: 0, unmeteredBytes: 0 };
  /** The name of each life, as replies told it. */
  private readonly generations = new Map<number, string>();
  /** The first replies by id, for the times in them. */
  private readonly expiries = new Map<string, unknown>();

  constructor(
    readonly harness: ModelHarness,
    readonly keepsValues: boolean,
  ) {
    this.tenant = harness.freshTenant();
    this.model = new LedgerModel(harness.slackMs);
  }

  nextId(): string {
    return `id-${String(++this.count)}`;
  }

  /** Sends a request to both and compares: the reply, then everything that can be read. */
  async send(request: Request): Promise<void> {
    await this.untilCertain();
    this.sent.push(request);
    const start = this.harness.now();
    const reply = await this.transmit(request).catch(undecided);
    const replied = this.harness.now();
    const { usage, entries, lapsed, value } = await this.observe(request);
    const at = { start, end: this.harness.now() };
    // Before the model changes: what is due for it must have been so throughout.
    this.insistOnCertainty(at);
    const expected = this.apply(request, { start, end: replied });
    this.compare(request, reply, expected, { start, end: replied });
    this.learn(request, reply);
    // What the request has made may have fallen due before all was read.
    this.insistOnCertainty(at);

    this.model.reapAll(at);
    expect(usage).toEqual(this.model.usage());
    this.compareEntries(entries);
    this.compareLapsed(lapsed);
    if (value !== undefined) expect(value).toEqual(this.expectedValue(request));
    this.checkInvariants(request, usage);
  }

  /** Time goes by; nobody asks anything. */
  async pass(units: number): Promise<void> {
    await this.harness.advance(units * this.harness.unitMs);
  }

  /** After everything is settled: used is the sum of the live entries, reserved is nothing. */
  async finish(): Promise<void> {
    const { tenant } = this;
    const soon = this.harness.now() + 10 * this.harness.unitMs;
    for (const { id, due } of this.model.openOnes()) {
      const crashed = this.writes.find((write) => write.id === id)?.crashed ?? false;
      // Whoever crashed says nothing more; only where that would last too long somebody else does.
      if (!crashed || due.to > soon) await this.send({ op: 'release', args: { tenant, id } });
    }
    await this.pass(11);
    await this.send({ op: 'recount' });
    await this.send({ op: 'let go', args: { ids: this.lapsed.map(({ id }) => id) } });
    const usage = await this.tracker.read(tenant);
    const listed = await this.tracker.entries(tenant, null, 1_000);
    const live = listed.entries.reduce((sum, { entry }) => sum + (entry?.bytes ?? 0), 0);
    expect(listed.next).toBeNull();
    expect(usage.committedBytes).toBe(live + this.model.unkeyed());
    expect(usage.reservedBytes).toBe(0);
  }

  private get tracker(): UsageTracker {
    return this.harness.tracker;
  }

  private get values(): ValueTracker {
    if (this.harness.tracker instanceof ValueTracker) return this.harness.tracker;
    throw new Error('This tracker keeps no values; give the model { keepsValues: false }.');
  }

  /** @throws Inconclusive when something fell due between the two, as on a machine that is busy */
  private insistOnCertainty({ start, end }: Moment): void {
    if (this.model.spans().some(({ from, to }) => to > start && from <= end)) {
      throw new Inconclusive();
    }
  }

  private async untilCertain(): Promise<void> {
    for (;;) {
      const now = this.harness.now();
      // A little before, so that it does not fall due under the operation's feet.
      const ahead = this.harness.slackMs === 0 ? 0 : this.harness.unitMs / 3;
      const doubtful = this.model.spans().find(({ from, to }) => from <= now + ahead && now < to);
      if (!doubtful) return;
      await this.harness.advance(doubtful.to - now);
    }
  }

  private transmit(request: Request): Promise<object | null> {
    const { tracker, tenant } = this;
    switch (request.op) {
      case 'reserve':
        return tracker.reserve(request.args);
      case 'check':
        return tracker.check(request.args);
      case 'commit':
        return tracker.commit(request.args);
      case 'release':
        return tracker.release(tenant, request.args.id);
      case 'remove':
        return tracker.remove(request.args);
      case 'refund':
        return tracker.refund(request.args);
      case 'sweep':
        return tracker.sweep(tenant, request.args.max);
      case 'recount':
        return tracker.recount(tenant);
      case 'drop':
        return tracker.drop(tenant).then(() => null);
      case 'let go':
        return tracker.letGo(tenant, request.args.ids).then((gone) => ({ gone }));
      case 'settled':
        return tracker.settled(tenant, request.args.count).then((lowered) => ({ lowered }));
      case 'correct':
        return tracker.correct(tenant, [request.args]);
      case 'store':
        return this.values.putUnmetered(request.args);
    }
  }

  private apply(request: Request, at: Moment): Expected | null {
    const { model } = this;
    if (request.op === 'drop') this.expiries.clear();
    switch (request.op) {
      case 'reserve':
        return model.reserve(request.args, at);
      case 'check':
        return model.check(request.args, at);
      case 'commit':
        return model.commit(request.args, request.life, at);
      case 'release':
        return model.release(request.args.id, at);
      case 'remove':
        return model.remove(request.args, at);
      case 'refund':
        return model.refund(request.args, at);
      case 'sweep':
        return model.sweep(request.args.max, at);
      case 'recount':
        return model.recount(at);
      case 'drop':
        model.drop();
        return null;
      case 'let go':
        return model.letGo(request.args.ids, at);
      case 'settled':
        return model.settled(request.args.count);
      case 'correct':
        return model.correct(request.args, at);
      case 'store':
        return model.putUnmetered(request.args, at);
    }
  }

  private async observe(request: Request) {
    const { tracker, tenant } = this;
    const usage = await tracker.read(tenant);
    const entries = await tracker.lookup(tenant, KEYS);
    const lapsed = await this.listLapsed();
    const key = keyOf(request);
    if (key === undefined || !this.keepsValues) return { usage, entries, lapsed };
    const { value } = await this.values.getValue(tenant, key);
    return { usage, entries, lapsed, value: value ? contentOf(value) : null };
  }

  private async listLapsed(): Promise<LapsedHold[]> {
    const holds: LapsedHold[] = [];
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<UsageTracker['lapsed']>> = await this.tracker.lapsed(
        this.tenant,
        cursor,
        2,
      );
      holds.push(...page.holds);
      cursor = page.next;
    } while (cursor !== null);
    return holds;
  }

  private compare(
    request: Request,
    reply: object | null,
    expected: Expected | null,
    at: Moment,
  ): void {
    if (expected === null) return;
    const { retryAfter, ...fields } = expected;
    expect(reply).toMatchObject(fields);
    if (retryAfter) this.compareRetryAfter(reply, retryAfter as { least: number; most: number });
    const { expiresAt } = (reply ?? {}) as { expiresAt?: unknown };
    if (request.op !== 'commit' && request.op !== 'store') return;
    // Sent again, it tells the time it told at first.
    const id = `${request.op} ${request.args.id}`;
    if (!this.expiries.has(id) && isDone(reply)) {
      this.expiries.set(id, expiresAt);
      if (this.harness.slackMs === 0 && expected['replaced'] !== undefined) {
        const { ttlMs } = request.args;
        const timed = ttlMs !== undefined && request.args.key !== undefined;
        expect(expiresAt).toBe(timed ? at.start + ttlMs : undefined);
      }
    } else if (isDone(reply)) expect(expiresAt).toBe(this.expiries.get(id));
  }

  private compareRetryAfter(reply: object | null, span: { least: number; most: number }): void {
    const { retryAfterMs = Infinity } = (reply ?? {}) as { retryAfterMs?: number };
    expect(retryAfterMs).toBeGreaterThanOrEqual(span.least);
    expect(retryAfterMs).toBeLessThanOrEqual(span.most);
  }

  private compareEntries(views: readonly { key: string; entry: object | null }[]): void {
    for (const view of views) {
      const due = this.model.entry(view.key)?.due ?? null;
      expect(view).toMatchObject(this.model.view(view.key));
      if (view.entry) expect('expiresAt' in view.entry).toBe(due !== null);
      if (view.entry && due && this.harness.slackMs === 0) {
        expect(view.entry).toMatchObject({ expiresAt: due.to });
      }
    }
  }

  /** In any order, and nothing else changes meanwhile: each once. */
  private compareLapsed(holds: readonly LapsedHold[]): void {
    const expected = this.model.lapsed().map(({ id, key, bytes }) => ({ id, key, bytes }));
    expect(holds.toSorted(byId)).toEqual(expected.toSorted(byId));
    this.lapsed = holds;
  }

  private expectedValue(request: Request): string | null {
    return this.model.entry(keyOf(request)!)?.value ?? null;
  }

  private learn(request: Request, reply: object | null): void {
    if (request.op !== 'reserve' || !reply || !('generation' in reply)) return;
    const generation = String(reply.generation);
    const { life } = this.model;
    const known = this.generations.get(life);
    if (known === undefined) expect([...this.generations.values()]).not.toContain(generation);
    else expect(generation).toBe(known);
    this.generations.set(life, generation);
    const write = this.writes.find(({ id }) => id === request.args.id);
    if (write) write.admitted = { generation, life };
  }

  private checkInvariants(request: Request, after: Usage): void {
    const before = this.before;
    this.before = after;
    for (const bytes of Object.values(after)) expect(bytes).toBeGreaterThanOrEqual(0);
    // I1. What was stored unmetered becomes metered whatever the limit.
    if (request.op !== 'reserve' && request.op !== 'commit') return;
    const { enforce, limits } = request.args;
    if (!enforce || before.unmeteredBytes > 0 || usedBytes(after) <= usedBytes(before)) return;
    expect(usedBytes(after)).toBeLessThanOrEqual(limits.hardBytes);
  }
}

function keyOf(request: Request): string | undefined {
  return 'args' in request && 'key' in request.args ? request.args.key : undefined;
}

function undecided(error: unknown): object {
  if (error instanceof UndecidedError) return { outcome: 'undecided' };
  throw error;
}

const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1);

function isDone(reply: object | null): boolean {
  return (
    reply !== null &&
    'outcome' in reply &&
    (reply.outcome === 'committed' || reply.outcome === 'stored')
  );
}
