import { randomUUID } from 'node:crypto';
import {
  ValueTracker,
  type CommitReply,
  type CommitRequest,
  type QuotaLimits,
  type RemoveReply,
  type ReserveReply,
  type StoredValue,
  type Usage,
  type UsageTracker,
} from '../../../libs/quota/src/core';
import { waitUntil } from '../../support/server-process';

/** One implementation under the contract. Time is real: no test needs a clock of its own. */
export interface TrackerHarness {
  readonly tracker: UsageTracker;
  /** A valid tenant id that nothing has used before. */
  freshTenant(): string;
  /** Whether the store holds anything at all for this tenant: keys, rows, objects. */
  hasState(tenant: string): Promise<boolean>;
  /** Falsifies the committed bytes behind the ledger's back, so that a recount has something to find. */
  skewCommitted(tenant: string, deltaBytes: number): Promise<void>;
  close?(): Promise<void>;
}

export interface ContractOptions {
  /** The tracker is a ValueTracker. Its tests are skipped otherwise. */
  readonly keepsValues: boolean;
  /** It says what a hold adds to used, which the port leaves open. Yes unless set. */
  readonly saysGrowth?: boolean;
}

/** What a section of the suite gets: a fresh tenant for every test. */
export interface Stage {
  readonly options: ContractOptions;
  harness(): TrackerHarness;
  scene(limits?: Partial<QuotaLimits>): Scene;
}

export interface WriteOptions {
  readonly id?: string;
  readonly limits?: QuotaLimits;
  readonly stamp?: number;
  readonly enforce?: boolean;
  readonly holdMs?: number;
  readonly keep?: boolean;
}

export type CommitOptions = Partial<
  Pick<CommitRequest, 'limits' | 'enforce' | 'generation' | 'ttlMs' | 'version' | 'value'>
>;

/** An admitted reservation, as its owner remembers it. */
export interface Hold {
  readonly id: string;
  readonly key: string | undefined;
  readonly bytes: number;
  readonly generation: string;
  readonly reply: Extract<ReserveReply, { outcome: 'reserved' }>;
}

export const bytesOf = (usage: Usage): [committed: number, reserved: number] => [
  usage.committedBytes,
  usage.reservedBytes,
];

/** One tenant with quota 100 and hard limit 110 unless told otherwise, and short names for the port. */
export class Scene {
  constructor(
    readonly tracker: UsageTracker,
    readonly tenant: string,
    readonly limits: QuotaLimits = { quotaBytes: 100, hardBytes: 110 },
  ) {}

  /** The same tenant under other limits, as after a change of its quota. */
  under(limits: QuotaLimits): Scene {
    return new Scene(this.tracker, this.tenant, limits);
  }

  get values(): ValueTracker {
    if (this.tracker instanceof ValueTracker) return this.tracker;
    throw new Error('This tracker keeps no values; give the suite { keepsValues: false }.');
  }

  reserve(key: string | undefined, bytes: number, options: WriteOptions = {}) {
    const { id = randomUUID(), holdMs = 30_000, keep = false, ...rest } = options;
    return this.tracker.reserve({ ...this.write(key, bytes, rest), id, holdMs, keep });
  }

  check(key: string | undefined, bytes: number, options: WriteOptions = {}) {
    return this.tracker.check(this.write(key, bytes, options));
  }

  /** A reservation that is expected to be admitted. */
  async hold(key: string | undefined, bytes: number, options: WriteOptions = {}): Promise<Hold> {
    const id = options.id ?? randomUUID();
    const reply = await this.reserve(key, bytes, { ...options, id });
    if (reply.outcome !== 'reserved') {
      throw new Error(`Expected ${String(bytes)} bytes to be admitted: ${JSON.stringify(reply)}`);
    }
    return { id, key, bytes, generation: reply.generation, reply };
  }

  commit(hold: Hold, bytes = hold.bytes, options: CommitOptions = {}): Promise<CommitReply> {
    return this.tracker.commit({
      tenant: this.tenant,
      id: hold.id,
      ...(hold.key === undefined ? {} : { key: hold.key }),
      bytes,
      limits: this.limits,
      enforce: true,
      generation: hold.generation,
      ...options,
    });
  }

  /** A whole write: reserved, and committed as announced. */
  async put(
    key: string | undefined,
    bytes: number,
    options: CommitOptions & WriteOptions = {},
  ): Promise<Extract<CommitReply, { outcome: 'committed' }>> {
    const { ttlMs, version, value, ...write } = options;
    const hold = await this.hold(key, bytes, write);
    const reply = await this.commit(hold, bytes, {
      ...(ttlMs === undefined ? {} : { ttlMs }),
      ...(version === undefined ? {} : { version }),
      ...(value === undefined ? {} : { value }),
    });
    if (reply.outcome !== 'committed') {
      throw new Error(`Expected the write to be committed: ${JSON.stringify(reply)}`);
    }
    return reply;
  }

  release(hold: Pick<Hold, 'id'>) {
    return this.tracker.release(this.tenant, hold.id);
  }

  remove(key: string, options: { id?: string; version?: number } = {}): Promise<RemoveReply> {
    const { id = randomUUID(), version } = options;
    return this.tracker.remove({
      tenant: this.tenant,
      id,
      key,
      ...(version === undefined ? {} : { version }),
    });
  }

  refund(bytes: number, id: string = randomUUID()) {
    return this.tracker.refund({ tenant: this.tenant, id, bytes });
  }

  putUnmetered(
    key: string,
    body: Buffer,
    options: { id?: string; ttlMs?: number; stamp?: number; meta?: string } = {},
  ) {
    const { id = randomUUID(), ttlMs, stamp = 1, meta = '' } = options;
    return this.values.putUnmetered({
      tenant: this.tenant,
      id,
      key,
      value: { body, meta },
      stamp,
      ...(ttlMs === undefined ? {} : { ttlMs }),
    });
  }

  async value(key: string): Promise<(StoredValue & { expiresAt?: number }) | null> {
    return (await this.values.getValue(this.tenant, key)).value;
  }

  /** [committed, reserved] after reaping everything due. */
  async used(): Promise<[committed: number, reserved: number]> {
    return bytesOf(await this.tracker.read(this.tenant));
  }

  async entry(key: string) {
    const [view] = await this.tracker.lookup(this.tenant, [key]);
    return view?.entry ?? null;
  }

  async isPending(key: string): Promise<boolean> {
    const [view] = await this.tracker.lookup(this.tenant, [key]);
    return view?.pending ?? false;
  }

  /** Waits until the key's entry has expired. Looking it up settles this key and no other. */
  async untilGone(key: string): Promise<void> {
    await waitUntil(async () => (await this.entry(key)) === null, {
      what: () => `${key} to expire`,
    });
  }

  /** A reservation that lapsed at its deadline and was reaped. */
  async lapsed(key: string | undefined, bytes: number, options: WriteOptions = {}): Promise<Hold> {
    const hold = await this.hold(key, bytes, { ...options, holdMs: 20 });
    await untilDue(20);
    await this.used();
    return hold;
  }

  /** The same of one that is kept. */
  kept(key: string, bytes: number, options: WriteOptions = {}): Promise<Hold> {
    return this.lapsed(key, bytes, { ...options, keep: true });
  }

  private write(key: string | undefined, bytes: number, options: Omit<WriteOptions, 'id'>) {
    const { limits = this.limits, stamp = 1, enforce = true } = options;
    const keyed = key === undefined ? {} : { key };
    return { tenant: this.tenant, ...keyed, bytes, limits, stamp, enforce };
  }
}

/**
 * Waits until an entry or reservation made before this call with a life of `ms` is due, without
 * asking the tracker, which would reap it.
 */
export async function untilDue(ms: number): Promise<void> {
  // Two more, since a ledger may count whole milliseconds.
  const due = performance.now() + ms + 2;
  await waitUntil(() => performance.now() >= due);
}

/**
 * Sets a scene in which something with a life of `ms` must still be alive at the end. On a machine
 * too slow for that it is set once more, with more time.
 */
export async function inTime<T>(
  stage: Stage,
  limits: Partial<QuotaLimits>,
  set: (s: Scene, ms: number) => Promise<T>,
  ms = 60,
): Promise<{ s: Scene; ms: number; seen: T }> {
  const s = stage.scene(limits);
  const start = performance.now();
  const seen = await set(s, ms);
  if (performance.now() - start < ms - 2) return { s, ms, seen };
  if (ms > 10_000) throw new Error(`The scene cannot be set within ${String(ms)} ms.`);
  return inTime(stage, limits, set, ms * 3);
}
