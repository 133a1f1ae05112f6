import { UsageSource, type SourceEntry } from '@app/quota';

interface Stored {
  readonly bytes: number;
  readonly version: number;
  readonly expiresAt?: number;
}

/**
 * An application's storage, shared by its instances, that orders its writes by versions. What it
 * really holds is what every account is compared with.
 */
export class Storage extends UsageSource {
  private readonly tenants = new Map<string, Map<string, Stored>>();
  private version = 0;
  /** The most that was ever held, for each tenant. */
  readonly peak = new Map<string, number>();

  put(tenant: string, key: string, bytes: number, ttlMs?: number): number {
    const version = ++this.version;
    const expiring = ttlMs === undefined ? {} : { expiresAt: Date.now() + ttlMs };
    this.of(tenant).set(key, { bytes, version, ...expiring });
    this.peak.set(tenant, Math.max(this.peak.get(tenant) ?? 0, this.held(tenant)));
    return version;
  }

  /** The removal's own version, as one of a row that stays as a tombstone. */
  delete(tenant: string, key: string): number {
    this.of(tenant).delete(key);
    return ++this.version;
  }

  /** Takes a write back, unless the key has changed since; the removal's version, or null. */
  undo(tenant: string, key: string, version: number): number | null {
    return this.of(tenant).get(key)?.version === version ? this.delete(tenant, key) : null;
  }

  held(tenant: string): number {
    return this.live(tenant).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  async page(
    tenant: string,
    cursor: string | null,
    limit: number,
  ): Promise<{ entries: SourceEntry[]; next: string | null }> {
    const all = this.live(tenant)
      .filter(({ key }) => cursor === null || key > cursor)
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    const entries = all.slice(0, limit);
    return { entries, next: all.length > limit ? (entries.at(-1)?.key ?? null) : null };
  }

  async lookup(tenant: string, keys: readonly string[]): Promise<SourceEntry[]> {
    return this.live(tenant).filter(({ key }) => keys.includes(key));
  }

  private live(tenant: string): SourceEntry[] {
    const now = Date.now();
    return [...this.of(tenant)]
      .filter(([, { expiresAt }]) => expiresAt === undefined || expiresAt > now)
      .map(([key, stored]) => ({ key, ...stored }));
  }

  private of(tenant: string): Map<string, Stored> {
    const present = this.tenants.get(tenant) ?? new Map<string, Stored>();
    this.tenants.set(tenant, present);
    return present;
  }
}
