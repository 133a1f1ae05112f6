/** Which writes are sent: tenants in turn, and for each its keys in turn. */
export interface Traffic {
  readonly tenants: number;
  readonly keys: number;
  readonly bytes: number;
  /** Begins the names of tenants: other letters are other tenants. */
  readonly tenantPrefix: string;
  readonly keyName: (n: number) => string;
}

/** One request as it goes out. */
export interface Write {
  readonly path: string;
  readonly tenant: string;
}

export function tenantName({ tenantPrefix }: Traffic, n: number): string {
  return `${tenantPrefix}-${n}`;
}

/** The n-th write, from 0. */
export function writeAt(traffic: Traffic, n: number): Write {
  const { tenants, keys, keyName } = traffic;
  const path = `/store/${keyName(Math.floor(n / tenants) % keys)}`;
  return { path, tenant: tenantName(traffic, n % tenants) };
}

/** Different entries of the first `tenants` tenants, after so many writes. */
export function entriesOf(traffic: Traffic, writes: number, tenants: number): number {
  let entries = 0;
  for (let tenant = 0; tenant < tenants; tenant++) {
    const own = Math.ceil((writes - tenant) / traffic.tenants);
    entries += Math.min(Math.max(own, 0), traffic.keys);
  }
  return entries;
}
