const MB = 1_048_576;

/** A tenant of the run, and which checks can hold for it. */
export interface Tenant {
  readonly id: string;
  readonly quotaMb: number;
  /** 0: not allowed. */
  readonly overageMb: number;
  readonly keys: readonly string[];
  /** Its quota goes up and down, at most to what is above; it may hold more than it has right now. */
  readonly elastic: boolean;
  /** It is deleted and made anew now and then, with all it holds. */
  readonly mortal: boolean;
}

export function hardBytes({ quotaMb, overageMb }: Tenant): number {
  return (quotaMb + overageMb) * MB;
}

const KEYS = 30;

function tenant(id: string, quotaMb: number, overageMb = 0, more: Partial<Tenant> = {}): Tenant {
  const keys = Array.from({ length: KEYS }, (_, i) => `key-${String(i)}`);
  return { id, quotaMb, overageMb, keys, elastic: false, mortal: false, ...more };
}

export const TENANTS: readonly Tenant[] = [
  tenant('one', 1),
  tenant('one-over', 1, 1),
  tenant('two', 2),
  tenant('two-over', 2, 1),
  tenant('three', 3),
  tenant('also-one', 1),
  tenant('elastic', 3, 0, { elastic: true }),
  tenant('phoenix', 2, 0, { mortal: true }),
];
