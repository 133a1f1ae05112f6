import type { FoldBatch, PostgresQuotaBank } from '@app/quota';
import type { DataSource } from 'typeorm';
import type { Hold, Scene } from '../../contract/usage-tracker/scene';
import { expectExact, expectWithin } from './ledger-auditor';
import { OtherLedger, type Stored } from './other-ledger';

const KEYS = ['a', 'b', 'c', 'd'];

/** One step, as numbers that any list of numbers can be read as. */
export interface BankStep {
  readonly what: number;
  readonly key: number;
  readonly bytes: number;
}

interface Open {
  readonly hold: Hold;
  readonly version: number;
}

/**
 * A tenant written to on both sides of the bank, and what its storage really holds. With versions the
 * storage orders its writes and both sides write whatever they like; without, the other ledger writes
 * only what this one has nothing to say of, since nobody could tell which came last.
 */
export class BankWorld {
  readonly other = new OtherLedger();
  readonly counts = { admitted: 0, refused: 0, batches: 0, drops: 0 };
  private readonly truth = new Map<string, Stored>();
  private unkeyed = 0;
  private version = 0;
  private ids = 0;
  private open: Open[] = [];
  private batch: FoldBatch | null = null;

  constructor(
    readonly s: Scene,
    private readonly bank: PostgresQuotaBank,
    private readonly probe: DataSource,
    private readonly versioned: boolean,
  ) {}

  private get hard(): number {
    return this.s.limits.hardBytes;
  }

  private next(): number {
    return this.versioned ? ++this.version : 0;
  }

  async step({ what, key, bytes }: BankStep): Promise<void> {
    const name = KEYS[key % KEYS.length]!;
    const steps: (() => Promise<unknown>)[] = [
      () => this.put(name, bytes),
      () => this.put(name, bytes),
      () => this.hold(name, bytes),
      () => this.settle(key),
      () => this.remove(name),
      () => this.remove(name),
      () => this.charge(bytes),
      () => this.refund(bytes),
      () => this.expire(name),
      () => this.begin(1 + (bytes % 5)),
      () => this.begin(1 + (bytes % 5)),
      () => this.end(),
      () => this.end(),
      () => this.writeThere(name, bytes),
      () => this.writeThere(name, bytes),
      () => this.fetch(bytes),
      () => this.sweep(),
      () => (key === 0 ? this.drop() : this.sweep()),
    ];
    await steps[what % steps.length]!();
    if (await this.known()) {
      await expectExact(this.probe, this.s.tenant);
      const seen = await expectWithin(this.probe, this.s.tenant, this.hard);
      // What the other ledger has got is granted or on its way, even while it is a life behind.
      expect(this.other.used).toBeLessThanOrEqual(seen.granted + seen.folding);
    }
  }

  /** Everything settled and folded: the other ledger holds what the storage does. */
  async finish(): Promise<void> {
    while (this.open.length > 0) await this.settle(0);
    if (!(await this.known())) return;
    await this.fetch(0);
    while (await this.other.take(this.bank, this.s.tenant, 2)) this.counts.batches++;
    expect(Object.fromEntries(this.other.entries)).toEqual(Object.fromEntries(this.truth));
    expect([this.other.unkeyed, this.other.underflow]).toEqual([this.unkeyed, 0]);
    expect(await this.s.used()).toEqual([0, 0]);
    const standing = await this.bank.standing(this.s.tenant);
    expect(standing).toMatchObject({ drawnBytes: 0, pending: false });
    expect(this.other.used).toBeLessThanOrEqual(standing!.grantedBytes);
    await expectWithin(this.probe, this.s.tenant, this.hard);
  }

  private async known(): Promise<boolean> {
    return (await this.bank.standing(this.s.tenant)) !== null;
  }

  private async put(key: string, bytes: number): Promise<void> {
    const opened = await this.hold(key, bytes);
    if (opened) await this.settle(this.open.length - 1);
  }

  /** With versions the storage is written when the hold is there, in whatever order commits come. */
  private async hold(key: string, bytes: number): Promise<boolean> {
    const reply = await this.s.reserve(key, bytes, { id: `w${++this.ids}` });
    this.counts[reply.outcome === 'reserved' ? 'admitted' : 'refused']++;
    if (reply.outcome !== 'reserved') return false;
    const { generation } = reply;
    const version = this.next();
    const hold: Hold = { id: `w${this.ids}`, key, bytes, generation, reply };
    this.open.push({ hold, version });
    if (this.versioned) this.truth.set(key, { bytes, version });
    return true;
  }

  private async settle(which: number): Promise<void> {
    const [opened] = this.open.splice(which % Math.max(this.open.length, 1), 1);
    if (!opened) return;
    const { hold, version } = opened;
    const reply = await this.s.commit(hold, hold.bytes, this.versioned ? { version } : {});
    expect(reply.outcome).toBe('committed');
    if (!this.versioned) this.truth.set(hold.key!, { bytes: hold.bytes, version });
  }

  private async remove(key: string): Promise<void> {
    const version = this.next();
    this.truth.delete(key);
    await this.s.remove(key, this.versioned ? { version } : {});
  }

  private async charge(bytes: number): Promise<void> {
    const reply = await this.s.reserve(undefined, bytes, { id: `w${++this.ids}` });
    if (reply.outcome !== 'reserved') return;
    const { generation } = reply;
    await this.s.commit({ id: `w${this.ids}`, key: undefined, bytes, generation, reply });
    this.unkeyed += bytes;
  }

  private async refund(bytes: number): Promise<void> {
    const most = Math.min(bytes, this.unkeyed);
    this.unkeyed -= most;
    expect(await this.s.refund(most)).toMatchObject({ freedBytes: most, underflowBytes: 0 });
  }

  /** Ends a key's life here and in the batch, unless it was written elsewhere since. */
  private async expire(key: string): Promise<void> {
    const args = [this.s.tenant, Buffer.from(key)];
    for (const table of ['entries', 'folds'] as const) {
      const live = table === 'folds' ? 'AND bytes IS NOT NULL' : '';
      const [rows] = await this.probe.query<[{ version: string }[]]>(
        `UPDATE quota_ledger_${table} SET expires_at = 1
         WHERE tenant_id = $1 AND key = $2 ${live} RETURNING version`,
        args,
      );
      const found = rows[0];
      if (!found) continue;
      await this.probe.query('UPDATE quota_ledger SET due_at = 0 WHERE tenant_id = $1', [args[0]]);
      const same = this.truth.get(key)?.version === Number(found.version);
      // What has been delivered already lives there as it was then.
      const delivered = table === 'folds' && this.applied();
      if (same && !delivered) this.truth.delete(key);
      if (!this.versioned) break;
    }
  }

  private applied(): boolean {
    return this.batch !== null && this.other.fold >= this.batch.number;
  }

  /** Whoever folds sees the same batch, and may be cut off before or after it has delivered it. */
  private async begin(max: number): Promise<void> {
    const batch = await this.bank.beginFold(this.s.tenant, max);
    if (this.batch && this.batch.generation === batch?.generation) {
      const still = ({ items, ...rest }: FoldBatch) => ({
        ...rest,
        items: items.map(({ key, bytes, version }) => ({ key, bytes, version })),
      });
      expect(still(batch)).toEqual(still(this.batch));
    } else if (batch) this.counts.batches++;
    this.batch = batch;
    if (batch && max % 2 === 0) this.other.apply(batch);
  }

  private async end(): Promise<void> {
    const { batch } = this;
    if (!batch) return;
    const now = (await this.bank.beginFold(this.s.tenant, 1))!;
    if (!this.other.apply(now)) return;
    await this.bank.endFold(this.s.tenant, batch.number);
    await this.bank.endFold(this.s.tenant, batch.number);
    this.batch = null;
  }

  private async writeThere(key: string, bytes: number): Promise<void> {
    const { other } = this;
    const life = (await this.bank.standing(this.s.tenant))?.generation;
    if (other.generation === null || other.generation !== life) return;
    if (!this.versioned && (await this.hasToSay(key))) return;
    const grows = other.used - (other.entries.get(key)?.bytes ?? 0) + bytes;
    if (grows > other.bytes) return;
    const stored = { bytes, version: this.next() };
    other.entries.set(key, stored);
    this.truth.set(key, stored);
  }

  private async hasToSay(key: string): Promise<boolean> {
    if (this.open.some(({ hold }) => hold.key === key)) return true;
    const rows = await this.probe.query<unknown[]>(
      ['entries', 'folds', 'removals']
        .map((t) => `SELECT 1 FROM quota_ledger_${t} WHERE tenant_id = $1 AND key = $2`)
        .join(' UNION ALL '),
      [this.s.tenant, Buffer.from(key)],
    );
    return rows.length > 0;
  }

  private async fetch(bytes: number): Promise<void> {
    const { other, s, bank } = this;
    const reply = await other.fetch(bank, s.tenant, other.used + bytes, this.hard, 30);
    expect(reply.outcome).toBe('granted');
  }

  private async sweep(): Promise<void> {
    await this.s.tracker.sweep(this.s.tenant, 3);
  }

  private async drop(): Promise<void> {
    this.counts.drops++;
    await this.s.tracker.drop(this.s.tenant);
    this.truth.clear();
    this.unkeyed = 0;
    this.open = [];
    this.batch = null;
  }
}
