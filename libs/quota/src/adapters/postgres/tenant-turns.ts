/** What runs in turn waits this long, in ms, for those before it. */
const WAIT_MS = 5_000;

/**
 * Lets the changes of one tenant in this process take turns, so that they wait for one another here
 * and not each on a connection: a tenant whose row somebody holds would soon have the whole pool.
 */
export class TenantTurns {
  private readonly tails = new Map<string, Promise<void>>();

  /** @throws Error when it is not the tenant's turn in time. */
  async take<T>(tenant: string, work: () => Promise<T>): Promise<T> {
    const before = this.tails.get(tenant);
    let done!: () => void;
    const own = new Promise<void>((resolve) => (done = resolve));
    const tail: Promise<void> = Promise.all([before, own]).then(() => this.forget(tenant, tail));
    this.tails.set(tenant, tail);
    try {
      if (before !== undefined) await inTime(before);
      return await work();
    } finally {
      done();
    }
  }

  private forget(tenant: string, tail: Promise<void>): void {
    if (this.tails.get(tenant) === tail) this.tails.delete(tenant);
  }
}

async function inTime(before: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error('Other changes of this tenant take too long.'));
    }, WAIT_MS);
  });
  try {
    await Promise.race([before, late]);
  } finally {
    clearTimeout(timer);
  }
}
