import { MemoryQuotaStore } from '../adapters/memory/memory-quota-store';
import { MemoryUsageTracker } from '../adapters/memory/memory-usage-tracker';
import { mbToBytes } from './bytes';
import { QuotaDecision } from './decision';
import {
  InvalidTenantError,
  InvalidWriteError,
  QuotaExceededError,
  QuotaUnavailableError,
  UnknownTenantError,
  WriteBouncedError,
} from './errors';
import { QuotaObserver, type CheckEvent } from './observer';
import { QuotaAdmin } from './quota-admin';
import { QuotaCacheService } from './quota-cache.service';
import { QuotaChecker } from './quota-checker';
import type { QuotaPatch } from './quota-store';
import { Reconciler } from './reconciler';
import type { Reservation } from './reservation';
import type { Rollout } from './rollout';
import type { QuotaVerdict } from './verdict';

const MB = mbToBytes(1);

function setUp(unknownTenant: 'default' | 'deny' = 'default') {
  const store = new MemoryQuotaStore();
  const tracker = new MemoryUsageTracker();
  const observer = new QuotaObserver();
  const rollout: { -readonly [K in keyof Rollout]: Rollout[K] } = {
    enabled: true,
    logOnly: false,
    percent: 100,
    tenants: new Set<string>(),
  };
  const options = { ttlMs: 60_000, maxTenants: 100, unknownTenant, defaultQuotaMb: 1 };
  const quotas = new QuotaCacheService(store, null, options, observer);
  const limits = { maxWriteBytes: 100 * MB, reservationTtlMs: 60_000 };
  const checker = new QuotaChecker(quotas, tracker, () => rollout, limits, observer);
  const reconciler = new Reconciler(tracker, null, observer);
  const admin = new QuotaAdmin(store, quotas, tracker, reconciler, observer);
  const checks: CheckEvent[] = [];
  observer.on('check', (event) => checks.push(event));
  const set = (patch: QuotaPatch) => admin.set('acme', patch, { actor: 'test' });
  return { store, tracker, observer, rollout, quotas, checker, admin, checks, set };
}

function reservationOf(verdict: QuotaVerdict): Reservation {
  if (!verdict.admitted) throw new Error('refused');
  return verdict.reservation;
}

async function hold(checker: QuotaChecker, key: string, bytes: number): Promise<void> {
  await reservationOf(await checker.reserve({ tenant: 'acme', key, bytes })).commit();
}

describe('QuotaChecker', () => {
  it('allows within the quota, warns within the overage, refuses beyond, and charges as it says', async () => {
    const { checker, set, checks } = setUp();
    await set({ quotaMb: 100, overageAllowed: true, overageLimitMb: 10 });
    await hold(checker, 'a', 90 * MB);
    const allowed = await checker.reserve({ tenant: 'acme', key: 'b', bytes: 5 * MB });
    expect(allowed).toMatchObject({ admitted: true, decision: QuotaDecision.ALLOW });
    await reservationOf(allowed).commit();
    const warned = await checker.reserve({ tenant: 'acme', key: 'c', bytes: 10 * MB });
    expect(warned).toMatchObject({
      decision: QuotaDecision.WARN,
      numbers: { usedBytes: 105 * MB, quotaBytes: 100 * MB, hardBytes: 110 * MB },
    });
    await reservationOf(warned).commit();
    const refused = await checker.reserve({ tenant: 'acme', key: 'd', bytes: 10 * MB });
    expect(refused).toMatchObject({ admitted: false, reason: 'exceeded', mode: 'enforce' });
    expect(refused).not.toHaveProperty('retryAfterSeconds');
    expect(await checker.status('acme')).toMatchObject({
      committedBytes: 105 * MB,
      reservedBytes: 0,
      decision: QuotaDecision.WARN,
    });
    expect(checks.map(({ decision }) => decision)).toEqual(['ALLOW', 'ALLOW', 'WARN', 'REJECT']);
    expect(checks[3]).toMatchObject({ tenant: 'acme', bytes: 10 * MB, source: 'memory' });
  });

  it('says when enough will have expired', async () => {
    const { checker } = setUp();
    const write = { tenant: 'acme', key: 'a', bytes: MB, ttlSeconds: 100 };
    await reservationOf(await checker.reserve(write)).commit();
    const refused = await checker.reserve({ tenant: 'acme', key: 'b', bytes: 1 });
    expect(refused).toMatchObject({ admitted: false, retryAfterSeconds: 100 });
  });

  it('refuses as too large what cannot ever fit, with and without a look at the ledger', async () => {
    const { checker } = setUp();
    expect(await checker.reserve({ tenant: 'acme', bytes: MB + 1 })).toMatchObject({
      reason: 'too_large',
      numbers: { usedBytes: 0 },
    });
    expect(await checker.reserve({ tenant: 'acme', bytes: 100 * MB + 1 })).toMatchObject({
      reason: 'above_maximum',
      numbers: null,
    });
  });

  it('lets an entry shrink that is larger than a lowered quota, but not grow', async () => {
    const { checker, set } = setUp();
    await set({ quotaMb: 50 });
    await hold(checker, 'a', 50 * MB);
    await set({ quotaMb: 10 });
    const shrunk = await checker.reserve({ tenant: 'acme', key: 'a', bytes: 40 * MB });
    expect(shrunk).toMatchObject({ admitted: true, decision: QuotaDecision.WARN });
    await reservationOf(shrunk).commit();
    expect(await checker.reserve({ tenant: 'acme', key: 'a', bytes: 41 * MB })).toMatchObject({
      admitted: false,
    });
    expect((await checker.status('acme')).usedBytes).toBe(40 * MB);
  });

  it('refuses nothing in shadow, and counts and says what it would have', async () => {
    const { checker, rollout, checks } = setUp();
    rollout.logOnly = true;
    await hold(checker, 'a', 2 * MB);
    expect(checks[0]).toMatchObject({ mode: 'shadow', decision: QuotaDecision.REJECT });
    expect(await checker.status('acme')).toMatchObject({ usedBytes: 2 * MB, mode: 'shadow' });
    expect(await checker.reserve({ tenant: 'acme', bytes: 200 * MB })).toMatchObject({
      admitted: true,
      decision: QuotaDecision.REJECT,
    });
  });

  it('checks and charges nothing while off, and leaves no trace', async () => {
    const { checker, rollout, checks, tracker } = setUp();
    rollout.enabled = false;
    const verdict = await checker.reserve({ tenant: 'acme', key: 'a', bytes: 500 * MB });
    expect(verdict).toMatchObject({ admitted: true, mode: 'off', numbers: null });
    expect(await reservationOf(verdict).commit()).toBeNull();
    expect(await checker.check({ tenant: 'acme', bytes: 500 * MB })).toMatchObject({
      admitted: true,
    });
    expect(checker.isOff()).toBe(true);
    expect(checks).toEqual([]);
    expect((await tracker.read('acme')).committedBytes).toBe(0);
  });

  it('leaves a tenant alone whose own mode is off', async () => {
    const { checker, set } = setUp();
    await set({ quotaMb: 1, mode: 'off' });
    const verdict = await checker.reserve({ tenant: 'acme', key: 'a', bytes: 5 * MB });
    expect(verdict).toMatchObject({ admitted: true, mode: 'off' });
    expect(await reservationOf(verdict).release()).toBeNull();
    expect(reservationOf(verdict).state).toBe('released');
  });

  it('checks without charging', async () => {
    const { checker, checks } = setUp();
    const write = { tenant: 'acme', key: 'a', bytes: MB };
    expect(await checker.check(write)).toMatchObject({ decision: QuotaDecision.ALLOW });
    expect(await checker.check({ ...write, bytes: MB + 1 })).toMatchObject({ admitted: false });
    expect(await checker.preflight(write)).toBeNull();
    expect(checks).toEqual([]);
    expect(await checker.preflight({ ...write, bytes: MB + 1 })).toMatchObject({
      admitted: false,
    });
    expect(checks).toHaveLength(1);
    expect((await checker.status('acme')).usedBytes).toBe(0);
  });

  it('refuses bad input before it looks at anything', async () => {
    const { checker, checks } = setUp();
    const bad = (over: object) => checker.reserve({ tenant: 'acme', bytes: 1, ...over });
    for (const tenant of ['', '{}', '__proto__', 'a b', 'x'.repeat(129), 5, null]) {
      await expect(bad({ tenant })).rejects.toBeInstanceOf(InvalidTenantError);
    }
    for (const bytes of [-1, -0, 1.5, NaN, Infinity, 2 ** 53, '10', true, [], undefined]) {
      await expect(bad({ bytes })).rejects.toBeInstanceOf(InvalidWriteError);
    }
    for (const key of ['', 'x'.repeat(513), '\ud800', 5]) {
      await expect(bad({ key })).rejects.toBeInstanceOf(InvalidWriteError);
    }
    for (const ttlSeconds of [0, -1, 1.5, NaN, Infinity, 315_360_001, '5']) {
      await expect(bad({ ttlSeconds })).rejects.toBeInstanceOf(InvalidWriteError);
    }
    await expect(checker.remove('acme', '')).rejects.toBeInstanceOf(InvalidWriteError);
    await expect(checker.refund('acme', -1)).rejects.toBeInstanceOf(InvalidWriteError);
    expect(checks).toEqual([]);
  });

  it('refuses an unknown tenant where that is set', async () => {
    const { checker } = setUp('deny');
    await expect(checker.reserve({ tenant: 'acme', bytes: 1 })).rejects.toBeInstanceOf(
      UnknownTenantError,
    );
  });

  describe('run', () => {
    it('commits what was stored', async () => {
      const { checker } = setUp();
      const verdict = await checker.run({ tenant: 'acme', key: 'a', bytes: 10 }, async () => 7);
      expect(verdict.admitted).toBe(true);
      expect((await checker.status('acme')).committedBytes).toBe(7);
    });

    it('releases when storing fails, and passes the failure on', async () => {
      const { checker } = setUp();
      const broken = new Error('disk full');
      const store = (): Promise<undefined> => Promise.reject(broken);
      await expect(checker.run({ tenant: 'acme', bytes: 10 }, store)).rejects.toBe(broken);
      expect((await checker.status('acme')).usedBytes).toBe(0);
    });

    it('does not store what is refused', async () => {
      const { checker } = setUp();
      const store = jest.fn();
      const running = checker.run({ tenant: 'acme', bytes: MB + 1 }, store);
      await expect(running).rejects.toMatchObject({
        name: 'QuotaExceededError',
        code: 'write_too_large',
      });
      expect(store).not.toHaveBeenCalled();
    });

    it('has a write undone that turned out too large, and leaves the old entry charged', async () => {
      const { checker } = setUp();
      await hold(checker, 'a', 10);
      const undo = jest.fn(async () => undefined);
      const running = checker.run(
        { tenant: 'acme', key: 'a', bytes: 20 },
        async () => MB + 1,
        undo,
      );
      await expect(running).rejects.toBeInstanceOf(QuotaExceededError);
      expect(undo).toHaveBeenCalledTimes(1);
      expect(await checker.status('acme')).toMatchObject({ committedBytes: 10, reservedBytes: 0 });
    });

    it('has a write undone whose tenant was deleted meanwhile', async () => {
      const { checker, admin, set } = setUp();
      await set({ quotaMb: 1 });
      const undo = jest.fn(async () => undefined);
      const running = checker.run(
        { tenant: 'acme', key: 'a', bytes: 20 },
        async () => {
          await admin.delete('acme', { actor: 'test' });
          return undefined;
        },
        undo,
      );
      await expect(running).rejects.toBeInstanceOf(WriteBouncedError);
      expect(undo).toHaveBeenCalledTimes(1);
      expect((await checker.status('acme')).usedBytes).toBe(0);
    });
  });

  it('settles a reservation once', async () => {
    const { checker } = setUp();
    const reservation = reservationOf(await checker.reserve({ tenant: 'acme', bytes: 5 }));
    await reservation.commit();
    await expect(reservation.commit()).rejects.toThrow(/committed already/);
    expect(await reservation.release()).toBeNull();
    expect((await checker.status('acme')).committedBytes).toBe(5);
  });

  it('lets a settlement be tried again that the store did not answer', async () => {
    const { checker, tracker } = setUp();
    const reservation = reservationOf(await checker.reserve({ tenant: 'acme', bytes: 5 }));
    const away = new QuotaUnavailableError('commit');
    const commit = jest.spyOn(tracker, 'commit').mockRejectedValueOnce(away);
    await expect(reservation.commit()).rejects.toBe(away);
    jest.spyOn(tracker, 'release').mockRejectedValueOnce(away);
    await expect(reservation.release()).rejects.toBe(away);
    expect(reservation.state).toBe('open');
    commit.mockRestore();
    expect(await reservation.commit()).toMatchObject({ outcome: 'committed' });
  });

  it('gives back by key and by bytes, and reports a refund of more than there was', async () => {
    const { checker, observer } = setUp();
    const errors: string[] = [];
    observer.on('error', ({ error }) => errors.push(error));
    await hold(checker, 'a', 10);
    await reservationOf(await checker.reserve({ tenant: 'acme', bytes: 5 })).commit();
    expect(await checker.remove('acme', 'a')).toMatchObject({ removed: true, freedBytes: 10 });
    expect(await checker.remove('acme', 'a')).toMatchObject({ removed: false, freedBytes: 0 });
    expect(await checker.refund('acme', 6)).toMatchObject({ freedBytes: 5, underflowBytes: 1 });
    expect(errors).toEqual(['underflow']);
    expect((await checker.status('acme')).usedBytes).toBe(0);
  });

  it('takes a change made elsewhere for the very next write, without having been told', async () => {
    const { checker, tracker, store, quotas, set } = setUp();
    await set({ quotaMb: 1 });
    await hold(checker, 'a', MB);
    const { row, stamp } = await store.change('acme', { quotaMb: 2 }, { actor: 'other' });
    expect(row.quotaMb).toBe(2);
    const check = jest.spyOn(tracker, 'reserve').mockImplementationOnce(async () => ({
      outcome: 'stale',
      stamp,
    }));
    expect(await checker.reserve({ tenant: 'acme', key: 'b', bytes: MB })).toMatchObject({
      admitted: true,
      numbers: { quotaBytes: 2 * MB },
    });
    check.mockRestore();
    expect((await quotas.getQuota('acme')).stamp).toBe(stamp);
  });

  it('asks anew by another id, since the attempt before may be given back when the next has succeeded', async () => {
    const { checker, tracker, set } = setUp();
    await set({ quotaMb: 1 });
    const reserve = tracker.reserve.bind(tracker);
    jest.spyOn(tracker, 'reserve').mockImplementationOnce(async (request) => {
      // Held, though its caller hears of a newer configuration, and given back as late as can be.
      await reserve(request);
      const commit = tracker.commit.bind(tracker);
      jest.spyOn(tracker, 'commit').mockImplementationOnce(async (last) => {
        await tracker.release(request.tenant, request.id);
        return commit(last);
      });
      return { outcome: 'stale', stamp: 0 };
    });
    const run = checker.run({ tenant: 'acme', key: 'a', bytes: MB }, async () => undefined);
    await expect(run).resolves.toMatchObject({ admitted: true });
    const usage = { committedBytes: MB, reservedBytes: 0 };
    expect(await tracker.read('acme')).toMatchObject(usage);
  });

  it('gives up with 503 when the configuration never settles', async () => {
    const { checker, tracker } = setUp();
    jest.spyOn(tracker, 'reserve').mockResolvedValue({ outcome: 'stale', stamp: 0 });
    await expect(checker.reserve({ tenant: 'acme', bytes: 1 })).rejects.toBeInstanceOf(
      QuotaUnavailableError,
    );
  });

  it('sees that a tenant is not off any more, and goes on when the ledger is away', async () => {
    const { checker, tracker, store, set } = setUp();
    await set({ quotaMb: 1, mode: 'off' });
    await checker.reserve({ tenant: 'acme', bytes: 1 });
    const { stamp } = await store.change('acme', { mode: 'enforce' }, { actor: 'other' });
    jest.spyOn(tracker, 'check').mockResolvedValueOnce({ outcome: 'stale', stamp });
    expect(await checker.reserve({ tenant: 'acme', bytes: 1 })).toMatchObject({ mode: 'enforce' });
    await set({ mode: 'off' });
    jest.spyOn(tracker, 'check').mockRejectedValueOnce(new QuotaUnavailableError('check'));
    expect(await checker.reserve({ tenant: 'acme', bytes: 1 })).toMatchObject({ mode: 'off' });
    jest.spyOn(tracker, 'check').mockRejectedValueOnce(new RangeError('bug'));
    await expect(checker.reserve({ tenant: 'acme', bytes: 1 })).rejects.toThrow('bug');
  });

  it('keeps a failing release from hiding the error of the storage', async () => {
    const { checker, tracker, observer } = setUp();
    const operations: string[] = [];
    observer.on('error', ({ operation }) => operations.push(operation));
    jest.spyOn(tracker, 'release').mockRejectedValueOnce(new QuotaUnavailableError('release'));
    const store = (): Promise<undefined> => Promise.reject(new Error('disk full'));
    await expect(checker.run({ tenant: 'acme', bytes: 1 }, store)).rejects.toThrow('disk full');
    expect(operations).toEqual(['release']);
  });

  it('does not let an observer that fails disturb a write', async () => {
    const { checker, observer } = setUp();
    observer.on('check', () => {
      throw new Error('broken dashboard');
    });
    expect(await checker.reserve({ tenant: 'acme', bytes: 1 })).toMatchObject({ admitted: true });
  });

  it('deletes a tenant that has no row as well, and says so', async () => {
    const { checker, admin } = setUp();
    await hold(checker, 'a', 10);
    expect(await admin.delete('acme', { actor: 'test' })).toBe(false);
    expect((await checker.status('acme')).usedBytes).toBe(0);
    expect(await admin.get('acme')).toBeNull();
    expect((await admin.list({ limit: 10 })).rows).toEqual([]);
    expect(await admin.reconcile('acme')).toMatchObject({ driftBytes: 0, usedBytes: 0 });
  });
});

describe('QuotaChecker, removing together with a storage', () => {
  const pending = async (tracker: MemoryUsageTracker): Promise<boolean> =>
    (await tracker.lookup('acme', ['a']))[0]!.pending;

  it('keeps a note in the ledger while the storage deletes, and takes it back', async () => {
    const { checker, tracker } = setUp();
    await hold(checker, 'a', 10);
    const reply = await checker.runRemoval('acme', 'a', async () => {
      expect(await pending(tracker)).toBe(true);
      return { version: 3 };
    });
    expect(reply).toMatchObject({ removed: true, freedBytes: 10 });
    expect(await pending(tracker)).toBe(false);
    await hold(checker, 'a', 10);
    expect(await checker.runRemoval('acme', 'a', async () => null)).toBeNull();
    expect(await pending(tracker)).toBe(false);
    expect(await checker.status('acme')).toMatchObject({ committedBytes: 10, reservedBytes: 0 });
  });

  it.each([
    ['the storage failed and nobody knows', new Error('lost'), true],
    ['the storage did not answer', new QuotaUnavailableError('x', { applied: 'unknown' }), true],
    ['the storage did nothing', new QuotaUnavailableError('x', { applied: 'no' }), false],
  ])('leaves the note only where it may be needed: %s', async (_what, error, left) => {
    const { checker, tracker } = setUp();
    await hold(checker, 'a', 10);
    await expect(checker.runRemoval('acme', 'a', () => Promise.reject(error))).rejects.toBe(error);
    expect(await pending(tracker)).toBe(left);
  });

  it('leaves the note where the ledger does not hear of the end', async () => {
    const { checker, tracker } = setUp();
    await hold(checker, 'a', 10);
    jest.spyOn(tracker, 'remove').mockRejectedValueOnce(new QuotaUnavailableError('remove'));
    await expect(checker.runRemoval('acme', 'a', async () => ({}))).rejects.toThrow('remove');
    expect(await pending(tracker)).toBe(true);
  });

  it('is never refused: beyond the limit, off, unknown, without a ledger for the note', async () => {
    const { checker, tracker, rollout, set } = setUp('deny');
    const remove = jest.fn(async () => ({}));
    await checker.runRemoval('nobody', 'a', remove);
    await set({ quotaMb: 2, overageAllowed: false });
    await hold(checker, 'a', 2 * MB);
    await set({ quotaMb: 1, overageAllowed: false });
    jest.spyOn(tracker, 'reserve').mockRejectedValueOnce(new QuotaUnavailableError('reserve'));
    expect(await checker.runRemoval('acme', 'a', remove)).toMatchObject({ freedBytes: 2 * MB });
    await set({ quotaMb: 2 });
    await hold(checker, 'a', 2 * MB);
    await set({ quotaMb: 1 });
    expect(await checker.runRemoval('acme', 'a', remove)).toMatchObject({ freedBytes: 2 * MB });
    rollout.enabled = false;
    await checker.runRemoval('acme', 'a', remove);
    expect(remove).toHaveBeenCalledTimes(4);
  });

  it('leaves an abandoned reservation to its deadline, and nobody waits for it', async () => {
    const { checker, tracker } = setUp();
    const reservation = reservationOf(
      await checker.reserve({ tenant: 'acme', key: 'a', bytes: 5 }),
    );
    reservation.abandon();
    expect(reservation.state).toBe('abandoned');
    expect(await reservation.release()).toBeNull();
    expect(await pending(tracker)).toBe(true);
    expect(await checker.drain(1)).toBe(true);
  });
});

describe('QuotaChecker, of what is open here', () => {
  it('knows how many bytes it holds, and whose usage it changed', async () => {
    const { checker } = setUp();
    const first = reservationOf(await checker.reserve({ tenant: 'acme', key: 'a', bytes: 10 }));
    const second = reservationOf(await checker.reserve({ tenant: 'acme', key: 'b', bytes: 5 }));
    expect(checker.reservedBytes).toBe(15);
    await first.commit(8);
    expect(checker.reservedBytes).toBe(5);
    await second.release();
    expect(checker.reservedBytes).toBe(0);
    expect(checker.takeTouched()).toEqual(['acme']);
    await checker.remove('beta', 'a');
    await checker.refund('gamma', 0);
    expect(checker.takeTouched()).toEqual(['beta', 'gamma']);
  });

  it('does not wait, once it drains, for what could not be settled and nobody will try again', async () => {
    const { checker, tracker } = setUp();
    const away = new QuotaUnavailableError('commit', { applied: 'unknown' });
    jest.spyOn(tracker, 'commit').mockRejectedValue(away);
    jest.spyOn(tracker, 'release').mockRejectedValue(away);
    const write = { tenant: 'acme', bytes: 10 };
    await expect(checker.run(write, async () => undefined)).rejects.toBe(away);
    const own = new Error('own');
    await expect(checker.run(write, () => Promise.reject(own))).rejects.toBe(own);
    // One whose owner may try again is waited for, until it says otherwise.
    const reservation = reservationOf(await checker.reserve(write));
    await expect(reservation.commit()).rejects.toBe(away);
    expect(checker.reservedBytes).toBe(30);
    expect(await checker.drain(20)).toBe(false);
    reservation.abandon();
    expect(await checker.drain(0)).toBe(true);
    expect(checker.reservedBytes).toBe(30);
  });

  it('takes nothing new once it drains, and settles what is open', async () => {
    const { checker } = setUp();
    const open = reservationOf(await checker.reserve({ tenant: 'acme', key: 'a', bytes: 10 }));
    const drained = checker.drain(10_000);
    await expect(checker.reserve({ tenant: 'acme', bytes: 1 })).rejects.toMatchObject({
      applied: 'no',
      closing: true,
    });
    expect((await checker.check({ tenant: 'acme', bytes: 1 })).admitted).toBe(true);
    await open.commit();
    expect(await drained).toBe(true);
  });
});

describe('QuotaAdmin with slow stores', () => {
  it('lets nobody wait for more than 2 s, and tells of a change that is made after all', async () => {
    const { admin, store, quotas } = setUp();
    const change = store.change.bind(store);
    const remove = store.delete.bind(store);
    let made = (): void => undefined;
    const answer = new Promise<void>((resolve) => (made = resolve));
    jest.spyOn(store, 'change').mockImplementation(async (...args) => {
      await answer;
      return change(...args);
    });
    jest.spyOn(store, 'delete').mockImplementation(async (...args) => {
      await answer;
      return remove(...args);
    });
    const started = performance.now();
    const late = { operation: 'quota_change', applied: 'unknown' };
    await Promise.all([
      expect(admin.set('acme', { quotaMb: 7 }, { actor: 'test' })).rejects.toMatchObject(late),
      expect(admin.delete('other', { actor: 'test' })).rejects.toMatchObject(late),
    ]);
    expect(performance.now() - started).toBeLessThan(2_500);
    const announce = jest.spyOn(quotas, 'announce');
    made();
    await new Promise(setImmediate);
    expect(announce).toHaveBeenCalledWith(expect.objectContaining({ quotaBytes: 7 * MB }));
    expect((await quotas.getQuota('acme')).quotaBytes).toBe(7 * MB);
  });
});

describe('QuotaChecker with slow stores', () => {
  const write = { tenant: 'acme', key: 'k', bytes: 10 };
  const never = (): Promise<never> => new Promise(() => undefined);
  const later = <T>(ms: number, work: () => Promise<T>): Promise<T> =>
    new Promise<void>((resolve) => setTimeout(resolve, ms)).then(work);

  async function timed(work: Promise<unknown>): Promise<{ ms: number; error: unknown }> {
    const started = performance.now();
    const error = await work.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return { ms: performance.now() - started, error };
  }

  it('gives every answer in half a second, though each step alone would be in time', async () => {
    const { checker, tracker, store } = setUp();
    const [reserve, check] = [tracker.reserve.bind(tracker), tracker.check.bind(tracker)];
    const read = tracker.read.bind(tracker);
    jest.spyOn(tracker, 'reserve').mockImplementation((r) => later(300, () => reserve(r)));
    jest.spyOn(tracker, 'check').mockImplementation((r) => later(300, () => check(r)));
    jest.spyOn(tracker, 'read').mockImplementation((t) => later(300, () => read(t)));
    jest
      .spyOn(store, 'load')
      .mockImplementation(() => later(300, () => Promise.resolve({ row: null, stamp: 0 })));
    const answers = await Promise.all([
      timed(checker.reserve({ ...write, tenant: 'a' })),
      timed(checker.check({ ...write, tenant: 'b' })),
      timed(checker.status('c')),
    ]);
    for (const { ms, error } of answers) {
      expect(error).toBeInstanceOf(QuotaUnavailableError);
      expect(ms).toBeLessThan(700);
    }
    // What was given up went on: its result serves the next one.
    await later(200, () => Promise.resolve());
    await expect(checker.reserve({ ...write, tenant: 'a' })).resolves.toMatchObject({
      admitted: true,
    });
  });

  it.each(['remove', 'refund'] as const)('gives up on a %s that hangs', async (name) => {
    const { checker, tracker } = setUp();
    jest.spyOn(tracker, name).mockImplementation(never);
    const work = name === 'remove' ? checker.remove('acme', 'k') : checker.refund('acme', 1);
    expect((await timed(work)).error).toMatchObject({ operation: name, applied: 'unknown' });
  });

  it('gives back what was reserved when nobody waited for it any more', async () => {
    const { checker, tracker } = setUp();
    const reserve = tracker.reserve.bind(tracker);
    jest.spyOn(tracker, 'reserve').mockImplementation((r) => later(600, () => reserve(r)));
    const released = jest.spyOn(tracker, 'release');
    expect((await timed(checker.reserve(write))).error).toMatchObject({ applied: 'unknown' });
    while (released.mock.calls.length === 0) await later(10, () => Promise.resolve());
    await released.mock.results[0]?.value;
    expect((await tracker.read('acme')).reservedBytes).toBe(0);
    expect(checker.reservedBytes).toBe(0);
  });

  it('has one time for reserve, commit and release of a run', async () => {
    const { checker, tracker } = setUp();
    const reserve = tracker.reserve.bind(tracker);
    jest.spyOn(tracker, 'reserve').mockImplementation((r) => later(300, () => reserve(r)));
    jest.spyOn(tracker, 'commit').mockImplementation(never);
    jest.spyOn(tracker, 'release').mockImplementation(never);
    const commits = await timed(checker.run(write, () => Promise.resolve(undefined)));
    expect(commits.error).toMatchObject({ operation: 'commit' });
    expect(commits.ms).toBeLessThan(600);
    const fails = await timed(checker.run(write, () => Promise.reject(new Error('own'))));
    expect(fails.error).toMatchObject({ message: 'own' });
    expect(fails.ms).toBeLessThan(600);
  });

  it('lets a handler take its time, and a large value its own', async () => {
    const { checker, tracker } = setUp();
    const commit = tracker.commit.bind(tracker);
    jest.spyOn(tracker, 'commit').mockImplementation((r) => later(600, () => commit(r)));
    const small = reservationOf(await checker.reserve(write));
    await expect(small.commit()).rejects.toBeInstanceOf(QuotaUnavailableError);
    const bytes = 65_537;
    const large = reservationOf(await checker.reserve({ ...write, key: 'large', bytes }));
    const value = { body: Buffer.alloc(bytes), meta: '' };
    await expect(large.commit(bytes, { value })).resolves.toMatchObject({ outcome: 'committed' });
  });

  it('is settled by a commit that succeeds after its caller has left', async () => {
    const { checker, tracker } = setUp();
    const commit = tracker.commit.bind(tracker);
    jest.spyOn(tracker, 'commit').mockImplementation((r) => later(600, () => commit(r)));
    const reservation = reservationOf(await checker.reserve(write));
    await expect(reservation.commit()).rejects.toMatchObject({ applied: 'unknown' });
    expect(reservation.state).toBe('open');
    while (reservation.state === 'open') await later(10, () => Promise.resolve());
    expect(reservation.state).toBe('committed');
    expect(checker.reservedBytes).toBe(0);
  });
});
