import type { FoldBatch } from '../../../libs/quota/src/core';

interface Entry {
  readonly bytes: number;
  readonly version: number;
}

interface Open {
  readonly key: string | undefined;
  readonly bytes: number;
}

/** What "Under a bank" in docs/ledger.md says, in a few lines, for one tenant and one step at a time. */
export class BankModel {
  life = 0;
  exists = false;
  entries = new Map<string, Entry>();
  open = new Map<string, Open>();
  unkeyed = 0;
  grant = { generation: null as string | null, seq: 0, grantBytes: 0, fold: 0 };
  rebuild = '';
  private lives = 0;
  private seen = new Map<string, number>();

  constructor(private readonly hardBytes: number) {}

  committed(): number {
    return [...this.entries.values()].reduce((sum, { bytes }) => sum + bytes, this.unkeyed);
  }

  reserved(): number {
    let sum = 0;
    const keys = new Set<string>();
    for (const { key, bytes } of this.open.values()) {
      if (key === undefined) sum += bytes;
      else keys.add(key);
    }
    for (const key of keys) sum += Math.max(0, this.largest(key) - this.live(key));
    return sum;
  }

  reserve(id: string, key: string | undefined, bytes: number, enforce: boolean): string {
    if (this.open.has(id)) return 'reserved';
    const verdict = this.verdict(key, bytes, undefined, enforce);
    if (verdict !== 'fits') return verdict === 'short' ? 'short' : 'rejected';
    if (!this.exists) this.begins();
    this.open.set(id, { key, bytes });
    return 'reserved';
  }

  commit(
    id: string,
    of: Open & { life: number },
    bytes: number,
    version: number | undefined,
    enforce: boolean,
  ): string {
    const { key } = of;
    if (!this.exists || of.life !== this.life) return 'bounced';
    const live = key === undefined ? undefined : this.entries.get(key);
    const newest = Math.max(live?.version ?? 0, this.seen.get(key ?? '') ?? 0);
    const outdated = key !== undefined && version !== undefined && version < newest;
    const verdict = outdated || bytes <= of.bytes ? 'fits' : this.verdict(key, bytes, id, enforce);
    if (verdict === 'short') return 'short';
    this.close(id);
    if (verdict === 'refused') return 'refused';
    if (key === undefined) this.unkeyed += bytes;
    else if (!outdated) {
      this.see(key, version);
      this.entries.set(key, { bytes, version: version ?? 0 });
    }
    return 'committed';
  }

  /** Its reservation is over, whatever comes. */
  close(id: string): void {
    const key = this.open.get(id)?.key;
    this.open.delete(id);
    if (key !== undefined && this.sizes(key).length === 0) this.seen.delete(key);
  }

  remove(key: string, version: number | undefined): string {
    this.see(key, version);
    const entry = this.entries.get(key);
    if (!entry || (version !== undefined && version < entry.version)) return 'removed nothing';
    this.entries.delete(key);
    return `removed ${String(entry.bytes)}`;
  }

  refund(bytes: number): string {
    const freed = Math.min(bytes, this.unkeyed);
    this.unkeyed -= freed;
    return `freed ${String(freed)}`;
  }

  begin(generation: string, nonce: string, seen: number): string {
    if (seen !== this.grant.seq) return 'known';
    if (this.grant.generation !== null && generation !== this.grant.generation) return 'other-life';
    if (!this.exists) this.begins();
    this.rebuild = nonce;
    this.grant = { ...this.grant, generation, grantBytes: 0 };
    return 'begun';
  }

  take(generation: string, seq: number, bytes: number, nonce: string): string {
    if (this.grant.generation === null) return 'lost';
    if (generation !== this.grant.generation) return 'other-life';
    if (this.rebuild === '' && seq <= this.grant.seq) return 'known';
    if (this.rebuild !== '' && nonce !== this.rebuild) return 'lost';
    this.rebuild = '';
    this.grant = { ...this.grant, seq, grantBytes: bytes };
    return 'taken';
  }

  fold(batch: FoldBatch): string {
    const { generation, seq, fold } = this.grant;
    if (generation !== null && generation !== batch.generation) return 'other-life';
    if (seq === 0 || this.rebuild !== '') return 'lost';
    if (batch.number <= fold) return 'done';
    this.unkeyed += batch.unkeyedBytes - Math.min(batch.refundBytes, this.unkeyed);
    for (const { key, bytes, ttlMs, version } of batch.items) {
      const entry = this.entries.get(key);
      const removedLater =
        bytes !== undefined && version > 0 && version < (this.seen.get(key) ?? 0);
      if (removedLater || (entry && version < entry.version)) continue;
      this.see(key, version);
      if (bytes === undefined || ttlMs === 0) this.entries.delete(key);
      else this.entries.set(key, { bytes, version });
    }
    const grantBytes = this.grant.grantBytes + batch.bytes;
    this.grant = { ...this.grant, grantBytes, fold: batch.number };
    return 'done';
  }

  /** The data is gone; with `dropped`, by intent, so that the tenant's state knows of a new life. */
  forget(dropped: boolean): void {
    const existed = this.exists;
    for (const name of ['entries', 'open', 'seen'] as const) this[name].clear();
    this.unkeyed = 0;
    this.grant = { generation: null, seq: 0, grantBytes: 0, fold: 0 };
    this.rebuild = '';
    this.exists = false;
    if (dropped && existed) this.begins();
  }

  private begins(): void {
    this.exists = true;
    this.life = ++this.lives;
  }

  private verdict(
    key: string | undefined,
    bytes: number,
    own: string | undefined,
    enforce: boolean,
  ) {
    if (!enforce) return 'fits';
    const used = this.committed() + this.reserved();
    const without = own === undefined ? undefined : this.open.get(own)?.bytes;
    const before = key === undefined ? (without ?? 0) : Math.max(this.live(key), this.largest(key));
    const others = key === undefined ? 0 : this.largest(key, own);
    const after = used - before + Math.max(bytes, others);
    if (bytes <= before) return 'fits';
    if (this.rebuild !== '') return after > 0 ? 'short' : 'fits';
    if (after > this.hardBytes) return 'refused';
    return after > this.grant.grantBytes ? 'short' : 'fits';
  }

  private live(key: string): number {
    return this.entries.get(key)?.bytes ?? 0;
  }

  private sizes(key: string, without?: string): number[] {
    const others = [...this.open].filter(([id, open]) => id !== without && open.key === key);
    return others.map(([, { bytes }]) => bytes);
  }

  private largest(key: string, without?: string): number {
    return Math.max(0, ...this.sizes(key, without));
  }

  private see(key: string, version: number | undefined): void {
    if (version === undefined || this.sizes(key).length === 0) return;
    this.seen.set(key, Math.max(version, this.seen.get(key) ?? 0));
  }
}
