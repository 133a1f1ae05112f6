import fc from 'fast-check';
import {
  Breaker,
  type BreakerClock,
  type BreakerOptions,
  type BreakerSigns,
  type StoreState,
} from './breaker';
import {
  InvalidWriteError,
  QuotaConflictError,
  QuotaUnavailableError,
  ReservationConflictError,
  type StoreContact,
  UnknownTenantError,
} from './errors';

/** Time that passes only when told to. */
class FakeClock implements BreakerClock {
  now = 0;
  /** All of what chance can add, so that times come out even. */
  chance = 1;
  private readonly timers = new Set<{ readonly at: number; readonly task: () => void }>();

  after(ms: number, task: () => void): () => void {
    const timer = { at: this.now + ms, task };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  random(): number {
    return this.chance;
  }

  get pending(): number {
    return this.timers.size;
  }

  /** Lets time pass, and what follows from each timer with it. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      const [next] = [...this.timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.timers.delete(next);
      this.now = next.at;
      next.task();
      await settled();
    }
    this.now = end;
  }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 8; i += 1) await Promise.resolve();
}

/** A store that is there or not, and says nothing until told to when it hangs. */
class FakeStore {
  mode: 'up' | 'lost' | 'silent' | 'hangs' = 'up';
  probes = 0;
  readonly hanging: { resolve: () => void; reject: (error: Error) => void }[] = [];

  readonly probe = (): Promise<void> => {
    this.probes += 1;
    return this.call();
  };

  readonly call = (): Promise<void> => {
    if (this.mode === 'up') return Promise.resolve();
    if (this.mode !== 'hangs') return Promise.reject(away(this.mode));
    return new Promise((resolve, reject) => this.hanging.push({ resolve, reject }));
  };
}

const away = (contact: StoreContact): QuotaUnavailableError =>
  new QuotaUnavailableError('reserve', { contact, cause: new Error('ECONNREFUSED') });

function setUp(options: Partial<BreakerOptions> = {}) {
  const clock = new FakeClock();
  const store = new FakeStore();
  const changes: StoreState[] = [];
  const onChange = (state: StoreState): void => {
    changes.push(state);
  };
  const breaker = new Breaker({ store: 'redis', probe: store.probe, clock, onChange, ...options });
  const call = (): Promise<unknown> => breaker.run('reserve', store.call).catch((e: unknown) => e);
  return { clock, store, changes, breaker, call };
}

describe('a closed breaker', () => {
  it('lets calls through, gives their results on, and keeps no timer', async () => {
    const { breaker, clock } = setUp();
    await expect(breaker.run('reserve', () => Promise.resolve(7))).resolves.toBe(7);
    expect([breaker.state, clock.pending]).toEqual(['closed', 0]);
  });

  it('opens at the third failure in a row, and not when a success came between', async () => {
    const { breaker, store, call } = setUp();
    for (const mode of ['silent', 'silent', 'up', 'silent', 'silent'] as const) {
      store.mode = mode;
      await call();
    }
    expect(breaker.state).toBe('closed');
    await call();
    expect(breaker.state).toBe('open');
  });

  it('opens at once when the connection is lost', async () => {
    const { breaker, store, call, changes } = setUp();
    store.mode = 'lost';
    await call();
    expect([breaker.state, changes]).toEqual(['open', ['open']]);
  });

  it('is told nothing by errors that are the caller’s, and takes an answer for a sign of life', async () => {
    const { breaker } = setUp();
    const errors = [
      new InvalidWriteError({ where: 'size', allowed: 'bytes' }, 'no'),
      new ReservationConflictError('id'),
      new QuotaConflictError('acme', 3),
      new UnknownTenantError('acme'),
      new TypeError('a defect'),
      away('answered'),
    ];
    for (const error of [...errors, ...errors, ...errors]) {
      await expect(breaker.run('x', () => Promise.reject(error))).rejects.toBe(error);
    }
    for (const contact of ['silent', 'silent', 'answered', 'silent', 'silent'] as const) {
      await breaker.run('x', () => Promise.reject(away(contact))).catch(() => undefined);
    }
    expect(breaker.state).toBe('closed');
  });

  it('hears nothing of a store that was not asked: neither a failure nor a sign of life', async () => {
    const { breaker } = setUp();
    const fail = (contact: StoreContact): Promise<void> =>
      breaker.run('x', () => Promise.reject(away(contact))).catch(() => undefined);
    for (let n = 0; n < 5; n += 1) await fail('unasked');
    expect(breaker.state).toBe('closed');
    for (const contact of ['silent', 'unasked', 'silent', 'unasked', 'silent'] as const) {
      await fail(contact);
    }
    expect(breaker.state).toBe('open');
  });

  it('takes a success that was slow for one', async () => {
    const { breaker, store, call, clock } = setUp();
    store.mode = 'hangs';
    const calls = [call(), call(), call(), call()];
    await clock.pass(60_000);
    for (const { resolve } of store.hanging) resolve();
    await Promise.all(calls);
    expect(breaker.state).toBe('closed');
  });
});

describe('an open breaker', () => {
  it('fails calls at once, without I/O, as not applied, with the cause', async () => {
    const { store, call } = setUp();
    store.mode = 'lost';
    await call();
    const work = jest.spyOn(store, 'call');
    const error = await call();
    expect(work).not.toHaveBeenCalled();
    expect(error).toMatchObject({ name: 'QuotaUnavailableError', applied: 'no' });
    expect(error).toMatchObject({ operation: 'reserve', cause: { cause: away('lost') } });
  });

  it('probes after pauses that grow to the longest, and closes when the store answers', async () => {
    const { store, call, clock, changes, breaker } = setUp();
    store.mode = 'lost';
    await call();
    const times: number[] = [];
    let seen = 0;
    while (clock.now < 4_000) {
      if (store.probes > seen) times.push(clock.now);
      seen = store.probes;
      await clock.pass(1);
    }
    const pauses = times.map((time, i) => time - (times[i - 1] ?? 0));
    expect(pauses.slice(0, 6)).toEqual([50, 100, 200, 400, 800, 800]);
    store.mode = 'up';
    await clock.pass(800);
    expect([breaker.state, changes.at(-1), clock.pending]).toEqual(['closed', 'closed', 0]);
  });

  it('takes a probe that is refused for an answer: the store is there', async () => {
    const { store, call, clock, breaker } = setUp({
      probe: () => Promise.reject(away('answered')),
    });
    store.mode = 'lost';
    await call();
    await clock.pass(50);
    expect(breaker.state).toBe('closed');
  });

  it('stays open by a probe that could not ask', async () => {
    const { store, call, clock, breaker } = setUp({
      probe: () => Promise.reject(away('unasked')),
    });
    store.mode = 'lost';
    await call();
    await clock.pass(1_000);
    expect(breaker.state).toBe('open');
  });

  it('treats a probe that throws outright as failed', async () => {
    const probe = (): never => {
      throw new Error('a defect');
    };
    const { store, call, clock, breaker } = setUp({ probe });
    store.mode = 'lost';
    await call();
    await clock.pass(1_000);
    expect(breaker.state).toBe('open');
  });

  it('gives a hanging probe up, and heeds its late answer all the same', async () => {
    const { store, call, clock, breaker } = setUp();
    store.mode = 'lost';
    await call();
    store.mode = 'hangs';
    await clock.pass(50);
    expect(breaker.state).toBe('half-open');
    await clock.pass(500);
    expect(breaker.state).toBe('open');
    store.hanging[0]?.resolve();
    await settled();
    expect([breaker.state, clock.pending]).toEqual(['closed', 0]);
  });

  it('goes on with its pauses when it opens again before anything has succeeded', async () => {
    const { store, call, clock, breaker } = setUp();
    for (let i = 0; i < 5; i += 1) {
      store.mode = 'lost';
      await call();
      store.mode = 'up';
      await clock.pass(50 * 2 ** i - 1);
      expect(breaker.state).toBe('open');
      await clock.pass(1);
      expect(breaker.state).toBe('closed');
    }
    await call();
    store.mode = 'lost';
    await call();
    await clock.pass(50);
    expect(store.probes).toBe(6);
  });

  it('hears nothing of calls that began before it', async () => {
    const { store, call, clock, breaker } = setUp();
    store.mode = 'hangs';
    const old = Array.from({ length: 5 }, () => call());
    store.mode = 'lost';
    await call();
    store.mode = 'up';
    await clock.pass(50);
    expect(breaker.state).toBe('closed');
    for (const { reject } of store.hanging) reject(away('silent'));
    await Promise.all(old);
    expect(breaker.state).toBe('closed');
  });

  it('lets everything pass once stopped, and keeps no timer', async () => {
    const off = jest.fn();
    const { store, call, clock, breaker } = setUp({ signs: () => off });
    store.mode = 'lost';
    await call();
    breaker.stop();
    expect([clock.pending, off.mock.calls.length]).toEqual([0, 1]);
    store.mode = 'up';
    await expect(call()).resolves.toBeUndefined();
  });

  it('works on the clock of the system', async () => {
    const store = new FakeStore();
    const breaker = new Breaker({ store: 'redis', probe: store.probe });
    store.mode = 'lost';
    await breaker.run('x', store.call).catch(() => undefined);
    store.mode = 'up';
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(breaker.state).toBe('closed');
  });
});

describe('a breaker of several servers', () => {
  async function failing(confirm: () => Promise<unknown>) {
    const calls = { asked: 0 };
    const asks = (): Promise<unknown> => {
      calls.asked += 1;
      return confirm();
    };
    const made = setUp({ confirm: asks });
    made.store.mode = 'silent';
    for (let n = 0; n < 3; n += 1) await made.call();
    await settled();
    return { ...made, calls };
  }

  it('stays closed while any of them answers, and asks again only after a while', async () => {
    const { breaker, call, calls, clock } = await failing(() => Promise.resolve());
    for (let n = 0; n < 10; n += 1) await call();
    expect([breaker.state, calls.asked]).toEqual(['closed', 1]);
    await clock.pass(200);
    for (let n = 0; n < 3; n += 1) await call();
    expect([breaker.state, calls.asked]).toEqual(['closed', 2]);
  });

  it('opens at once when none of them does', async () => {
    const { breaker } = await failing(() => Promise.reject(new Error('away')));
    expect(breaker.state).toBe('open');
    breaker.stop();
  });

  it('opens after a while when none of them says anything', async () => {
    const { breaker, clock } = await failing(() => new Promise(() => undefined));
    await clock.pass(199);
    expect(breaker.state).toBe('closed');
    await clock.pass(1);
    expect(breaker.state).toBe('open');
  });

  it('stays closed when a call is answered while it asks', async () => {
    const { breaker, store, call, clock } = await failing(() => new Promise(() => undefined));
    store.mode = 'up';
    await call();
    await clock.pass(300);
    expect(breaker.state).toBe('closed');
  });

  it('does not ask when the connection is lost', async () => {
    const { breaker, call, store, calls } = await failing(() => Promise.resolve());
    store.mode = 'lost';
    await call();
    expect([breaker.state, calls.asked]).toEqual(['open', 1]);
  });
});

describe('a sign that the connection is lost', () => {
  it('opens at once, before any call has failed, and only once', async () => {
    let lose!: (cause: unknown) => void;
    const { clock, breaker, changes, call } = setUp({
      signs: ({ lost }) => ((lose = lost), () => undefined),
    });
    lose(new Error('closed'));
    lose(new Error('closed'));
    expect(await call()).toMatchObject({ cause: { cause: { message: 'closed' } } });
    await clock.pass(50);
    expect(changes).toEqual(['open', 'half-open', 'closed']);
    breaker.stop();
    lose(new Error('closed'));
    expect(breaker.state).toBe('closed');
  });
});

describe('a sign that the store is back', () => {
  it('brings the next probe forward, once', async () => {
    let look!: () => void;
    const { store, call, clock, breaker } = setUp({
      signs: ({ back }) => ((look = back), () => undefined),
    });
    look();
    store.mode = 'lost';
    await call();
    await clock.pass(750); // 5th pause: 800 ms from here
    const before = store.probes;
    look();
    look();
    await clock.pass(99);
    expect(store.probes).toBe(before);
    store.mode = 'up';
    await clock.pass(1);
    expect([breaker.state, store.probes]).toEqual(['closed', before + 1]);
  });

  it('during a probe that fails makes the next one follow soon', async () => {
    let look!: () => void;
    const { store, call, clock, breaker } = setUp({
      signs: ({ back }) => ((look = back), () => undefined),
    });
    store.mode = 'lost';
    await call();
    await clock.pass(750);
    store.mode = 'hangs';
    await clock.pass(800);
    look();
    store.mode = 'up';
    store.hanging[0]?.reject(away('lost'));
    await settled();
    expect(breaker.state).toBe('open');
    await clock.pass(100);
    expect(breaker.state).toBe('closed');
  });

  it('does not make twenty instances probe in one moment', async () => {
    const clock = new FakeClock();
    const looks: (() => void)[] = [];
    const bySign: number[] = [];
    const alone: number[] = [];
    const open = async (at: number[], signs?: BreakerOptions['signs']): Promise<void> => {
      clock.random = Math.random;
      const probe = (): Promise<void> => {
        at.push(clock.now);
        return Promise.reject(away('lost'));
      };
      const breaker = new Breaker({ store: 'redis', probe, clock, ...(signs && { signs }) });
      await breaker.run('x', () => Promise.reject(away('lost'))).catch(() => undefined);
    };
    for (let i = 0; i < 20; i += 1) {
      await open(alone);
      await open(bySign, ({ back }) => (looks.push(back), () => undefined));
    }
    await clock.pass(3_000);
    [alone, bySign].forEach((list) => list.splice(0));
    for (const look of looks) look();
    await clock.pass(100);
    const spread = (list: number[]): number => Math.max(...list) - Math.min(...list);
    expect(bySign).toHaveLength(20);
    expect(spread(bySign)).toBeGreaterThan(40);
    await clock.pass(700);
    expect(spread(alone)).toBeGreaterThan(200);
  });
});

/** Random lives of a store and its callers. */
type Step =
  | { readonly kind: 'mode'; readonly mode: FakeStore['mode'] }
  | { readonly kind: 'call' }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'answer' }
  | { readonly kind: 'back' }
  | { readonly kind: 'lost' };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('mode' as const),
    mode: fc.constantFrom('up', 'lost', 'silent', 'hangs'),
  }),
  fc.constant({ kind: 'call' as const }),
  fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 1_500 }) }),
  fc.constant({ kind: 'answer' as const }),
  fc.constant({ kind: 'back' as const }),
  fc.constant({ kind: 'lost' as const }),
);

it('never has two probes at once, is never open beyond the longest pause, and always settles', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
      async (steps, chances) => {
        const clock = new FakeClock();
        clock.random = () => Number(chances.next().value);
        const store = new FakeStore();
        let signs!: BreakerSigns;
        let looking = 0;
        let openSince: number | undefined;
        const breaker = new Breaker({
          store: 'redis',
          clock,
          probe: () => {
            looking += 1;
            expect(looking).toBe(1);
            return store.probe();
          },
          signs: (given) => ((signs = given), () => undefined),
          onChange: (state) => {
            if (state !== 'half-open') looking = 0;
            if (openSince !== undefined) expect(clock.now - openSince).toBeLessThanOrEqual(800);
            openSince = state === 'open' ? clock.now : undefined;
          },
        });
        const calls: Promise<unknown>[] = [];
        for (const each of steps) {
          const before = store.hanging.length;
          if (each.kind === 'mode') store.mode = each.mode;
          else if (each.kind === 'pass') await clock.pass(each.ms);
          else if (each.kind === 'back') signs.back();
          else if (each.kind === 'lost') signs.lost(new Error('closed'));
          else if (each.kind === 'answer') store.hanging.shift()?.resolve();
          else {
            const state = breaker.state;
            calls.push(breaker.run('x', store.call).catch((error: unknown) => error));
            if (state !== 'closed') expect(store.hanging).toHaveLength(before);
          }
          await settled();
          expect(clock.pending).toBe(breaker.state === 'closed' ? 0 : 1);
        }
        store.mode = 'up';
        for (const { reject } of store.hanging.splice(0)) reject(away('silent'));
        await Promise.all(calls);
        await clock.pass(1_300);
        expect([breaker.state, clock.pending]).toEqual(['closed', 0]);
      },
    ),
    { numRuns: 300 },
  );
});
