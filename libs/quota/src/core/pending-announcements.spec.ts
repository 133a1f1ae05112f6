import { InvalidWriteError, QuotaUnavailableError } from './errors';
import { PendingAnnouncements } from './pending-announcements';
import type { TenantQuota } from './quota';

const quota = (tenant: string, stamp: number): TenantQuota => ({
  ...{ tenant, stamp, quotaBytes: 1, overageAllowed: false, overageBytes: 0 },
  ...{ mode: null, origin: 'tenant' },
});

const away = (): Promise<never> => Promise.reject(new QuotaUnavailableError('config-announce'));

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('PendingAnnouncements', () => {
  let pending: PendingAnnouncements | undefined;
  afterEach(() => pending?.stop());

  it('sends the newest of each tenant once the store is back, and nothing after that', async () => {
    let up = false;
    const sent: string[] = [];
    let attempts = 0;
    pending = new PendingAnnouncements(({ tenant, stamp }) => {
      attempts += 1;
      if (!up) return away();
      sent.push(`${tenant} ${String(stamp)}`);
      return Promise.resolve();
    });
    for (const [tenant, stamp] of [
      ['a', 1],
      ['b', 5],
      ['a', 3],
      ['a', 2],
    ] as const) {
      pending.keep(quota(tenant, stamp));
    }
    await until(() => attempts >= 2);
    // Away is away for all: one attempt each time, not one for each tenant.
    expect(sent).toEqual([]);
    up = true;
    await until(() => sent.length === 2);
    expect(sent.toSorted()).toEqual(['a 3', 'b 5']);
    expect(pending.size).toBe(0);
  });

  it('does not send what was told of meanwhile, and keeps what is newer', () => {
    pending = new PendingAnnouncements(away);
    pending.keep(quota('a', 3));
    pending.settle(quota('a', 2));
    expect(pending.size).toBe(1);
    pending.settle(quota('a', 3));
    expect(pending.size).toBe(0);
  });

  it('keeps so many tenants and no more, the latest', async () => {
    let up = false;
    const sent: string[] = [];
    pending = new PendingAnnouncements(({ tenant }) => {
      if (!up) return away();
      sent.push(tenant);
      return Promise.resolve();
    }, 2);
    for (const tenant of ['a', 'b', 'c']) pending.keep(quota(tenant, 1));
    expect(pending.size).toBe(2);
    up = true;
    await until(() => pending?.size === 0);
    expect(sent).toEqual(['b', 'c']);
  });

  it('goes on with the others when one tenant is refused, and drops what never can be sent', async () => {
    const sent: string[] = [];
    let damaged = true;
    pending = new PendingAnnouncements(({ tenant }) => {
      if (tenant === 'damaged' && damaged) {
        return Promise.reject(new QuotaUnavailableError('x', { contact: 'answered' }));
      }
      const wrong = { where: 'stamp', allowed: 'a number' };
      if (tenant === 'wrong') return Promise.reject(new InvalidWriteError(wrong, 'wrong'));
      sent.push(tenant);
      return Promise.resolve();
    });
    for (const tenant of ['damaged', 'wrong', 'healthy']) pending.keep(quota(tenant, 1));
    await until(() => sent.length > 0);
    expect(sent).toEqual(['healthy']);
    await until(() => pending?.size === 1);
    damaged = false;
    await until(() => sent.includes('damaged'));
  });

  it('sends nothing after its end', async () => {
    const send = jest.fn(() => Promise.resolve());
    pending = new PendingAnnouncements(send);
    pending.keep(quota('a', 1));
    pending.stop();
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(send).not.toHaveBeenCalled();
  });
});
