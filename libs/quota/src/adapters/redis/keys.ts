/** What every key of the library begins with, unless told otherwise. */
export const DEFAULT_PREFIX = 'quota';

/** Braces would move or break the hash tag, and with it the one slot of a tenant. */
const PREFIX_PATTERN = /^[A-Za-z0-9._:-]{1,64}$/;

/** The order in which every ledger script takes its keys. */
const LEDGER_PARTS = ['s', 'e', 'x', 'r', 'd', 'm', 'p', 'v'] as const;

/** Names of a tenant's keys; all in one slot, since `{tenant}` is what a cluster hashes. */
export class RedisKeys {
  /** Where changes of quotas are told of. */
  readonly channel: string;

  constructor(private readonly prefix: string = DEFAULT_PREFIX) {
    if (!PREFIX_PATTERN.test(prefix)) {
      throw new RangeError(
        'The prefix of the Redis keys is not usable. Allowed: 1 to 64 characters of A-Z, a-z, 0-9, ' +
          '".", "_", ":" and "-".',
      );
    }
    this.channel = `${prefix}:changes`;
  }

  /** State, entries, expiries, reservations, deadlines, marks, pending, values. */
  ledger(tenant: string): string[] {
    const base = this.base(tenant);
    return LEDGER_PARTS.map((part) => `${base}:${part}`);
  }

  /** The tenant's sums; the first of {@link ledger}. */
  state(tenant: string): string {
    return `${this.base(tenant)}:s`;
  }

  /** A pattern of SCAN for the state keys of all tenants; the prefix has no sign of its own in it. */
  get everyState(): string {
    return `${this.prefix}:{*}:s`;
  }

  /** The tenant whose state key this is; null when it is none. */
  tenantOf(state: string): string | null {
    const head = `${this.prefix}:{`;
    if (!state.startsWith(head) || !state.endsWith('}:s')) return null;
    try {
      return decodeURIComponent(state.slice(head.length, -'}:s'.length));
    } catch {
      return null;
    }
  }

  /** How many instances have taken in that version of the rollout. */
  heard(version: number): string {
    return `${this.prefix}:heard:${String(version)}`;
  }

  /** A lease of {@link RedisLease}. */
  lease(name: string): string {
    return `${this.prefix}:lease:${name}`;
  }

  /** The shared copy of the tenant's quota, with a life of its own. */
  config(tenant: string): string {
    return `${this.base(tenant)}:cfg`;
  }

  /** Percent-encoded: `{}` and `x}y` would break the hash tag. Tenant ids of the allowed form stay as they are. */
  private base(tenant: string): string {
    if (tenant === '') throw new RangeError('A tenant id must not be empty.');
    return `${this.prefix}:{${encodeURIComponent(tenant)}}`;
  }
}
