import { mbToBytes, type Reservation } from '@app/quota';
import { waitUntil } from '../../support';
import type { App } from './app';

export const KB = 1_024;
const actor = { actor: 'test' };

/** What was prepared, and what follows. */
interface Step {
  /** The operation itself, with its answer; QuotaUnavailableError is one as well. */
  act(): Promise<string>;
  /** What its caller does next, with the links whole again. */
  next?(answer: string): Promise<void>;
  /** Sent again by whoever asked, until it succeeds. */
  again?(): Promise<void>;
}

export interface Operation {
  readonly name: string;
  /** Nobody waits for its answer as for a request's. */
  readonly upkeep?: boolean;
  /** Answers that a fault may bring, beside "unavailable". */
  readonly also?: readonly string[];
  prepare(app: App): Promise<Step>;
}

function hold(app: App, key: string | undefined, bytes: number): Promise<Reservation> {
  return app.must(() => app.reserve(key, bytes), 'a reservation');
}

/** Reserves only; the application goes on with what it got. */
function reserving(app: App, key: string | undefined, bytes: number): Step {
  let reservation: Reservation | null = null;
  return {
    act: async () => {
      reservation = await app.reserve(key, bytes);
      return reservation === null ? 'refused' : 'admitted';
    },
    next: async () => {
      if (reservation !== null) await app.store(reservation, bytes);
    },
  };
}

/** With a journal in the bank: a write, an overwrite, and the removal of `b`, made without Redis. */
/** Does without Redis what the bank then has a journal of. */
async function journaled(app: App, work: () => Promise<void>): Promise<void> {
  const { links } = app.lane;
  links.redis.down();
  await work();
  links.redis.up();
  await app.lane.ready();
}

async function wiped(app: App): Promise<void> {
  await app.mustPut('a', 100 * KB);
  await app.mustPut('b', 200 * KB);
  await app.lane.wipe();
}

/** The operator's command, which is given again until it succeeds. */
const repeated = (work: () => Promise<unknown>): Step => ({
  act: async () => {
    await work();
    return 'done';
  },
  again: async () => {
    await work();
  },
});

export const OPERATIONS: readonly Operation[] = [
  {
    name: 'first write',
    prepare: async (app) => reserving(app, 'a', 100 * KB),
  },
  {
    name: 'reserve',
    prepare: async (app) => {
      await app.mustPut('a', 100 * KB);
      return reserving(app, 'b', 50 * KB);
    },
  },
  {
    name: 'reserve, larger grant',
    prepare: async (app) => {
      await app.mustPut('a', 100 * KB);
      return reserving(app, 'b', 400 * KB);
    },
  },
  {
    name: 'overwrite',
    prepare: async (app) => {
      await app.mustPut('a', 100 * KB);
      return { act: () => app.put('a', 110 * KB) };
    },
  },
  {
    name: 'commit',
    prepare: async (app) => {
      await app.mustPut('a', 100 * KB);
      const reservation = await hold(app, 'b', 50 * KB);
      return { act: () => app.store(reservation, 50 * KB) };
    },
  },
  {
    name: 'commit of more',
    prepare: async (app) => {
      await app.mustPut('a', 100 * KB);
      const reservation = await hold(app, 'b', 10 * KB);
      return { act: () => app.store(reservation, 300 * KB) };
    },
  },
  {
    name: 'release',
    prepare: async (app) => {
      await app.mustPut('a', 100 * KB);
      const reservation = await hold(app, 'b', 50 * KB);
      return {
        act: async () => {
          await app.call(() => reservation.release());
          return 'done';
        },
      };
    },
  },
  {
    name: 'remove',
    prepare: async (app) => {
      await app.mustPut('a', 100 * KB);
      await app.mustPut('b', 50 * KB);
      return {
        act: async () => {
          await app.remove('b');
          return 'done';
        },
      };
    },
  },
  {
    name: 'charge without a key',
    prepare: async (app) => {
      await app.mustPut('a', 100 * KB);
      const reservation = await hold(app, undefined, 50 * KB);
      return { act: () => app.store(reservation, 50 * KB) };
    },
  },
  {
    name: 'refund',
    prepare: async (app) => {
      const reservation = await hold(app, undefined, 150 * KB);
      await app.store(reservation, 150 * KB);
      // Never refused: what is not done at once is done later.
      app.unkeyedBytes -= 40 * KB;
      return {
        act: async () => {
          await app.call(() => app.lane.checker.refund(app.tenant, 40 * KB));
          return 'done';
        },
      };
    },
  },
  {
    name: 'status',
    prepare: async (app) => {
      await app.mustPut('a', 100 * KB);
      return {
        act: async () => {
          await app.call(() => app.lane.checker.status(app.tenant));
          return 'done';
        },
      };
    },
  },
  {
    name: 'check',
    prepare: async (app) => {
      await app.mustPut('a', 100 * KB);
      const write = { tenant: app.tenant, key: 'b', bytes: 700 * KB };
      return {
        act: async () => {
          const { admitted } = await app.call(() => app.lane.checker.check(write));
          return admitted ? 'admitted' : 'refused';
        },
      };
    },
  },
  {
    name: 'tenant deleted',
    upkeep: true,
    prepare: async (app) => {
      const { lane, tenant } = app;
      await app.mustPut('a', 100 * KB);
      lane.storage.delete(tenant, 'a');
      const step = repeated(() => lane.admin.delete(tenant, actor));
      const anew = (): Promise<unknown> =>
        lane.admin.set(tenant, { quotaMb: 1, overageAllowed: false }, actor);
      return { ...step, again: async () => void (await step.again!(), await anew()) };
    },
  },
  {
    name: 'reconcile',
    upkeep: true,
    prepare: async (app) => {
      const { lane, tenant } = app;
      await app.mustPut('a', 100 * KB);
      await app.mustPut('b', 50 * KB);
      lane.storage.put(tenant, 'found', 300 * KB);
      lane.storage.delete(tenant, 'b');
      return repeated(() => lane.admin.reconcile(tenant));
    },
  },
  {
    name: 'fold',
    upkeep: true,
    prepare: async (app) => {
      await app.mustPut('a', 100 * KB);
      await app.mustPut('b', 50 * KB);
      await journaled(app, async () => {
        await app.mustPut('c', 40 * KB);
        await app.mustPut('a', 120 * KB);
        await app.remove('b');
      });
      return {
        act: async () => {
          await app.lane.bankUpkeep?.round();
          return 'done';
        },
      };
    },
  },
  {
    name: 'write that finds a journal',
    prepare: async (app) => {
      await app.mustPut('a', 500 * KB);
      await app.mustPut('b', 200 * KB);
      await journaled(app, () => app.remove('b'));
      // Fits only where the removal of `b` is known.
      return { act: () => app.put('c', 500 * KB) };
    },
  },
  {
    name: 'write after a wipe',
    prepare: async (app) => {
      await wiped(app);
      return {
        act: async () => {
          const answer = await app.put('c', 50 * KB).catch(unavailable);
          const rebuilt = async (): Promise<boolean> =>
            (await app.lane.grantOf(app.tenant)) >= 300 * KB;
          await waitUntil(rebuilt, { timeoutMs: 1_500 }).catch(() => undefined);
          return answer;
        },
      };
    },
  },
  {
    name: 'rebuild',
    upkeep: true,
    prepare: async (app) => {
      await wiped(app);
      return repeated(() => app.lane.admin.reconcile(app.tenant));
    },
  },
  {
    name: 'quota change',
    upkeep: true,
    prepare: async (app) => {
      const { lane, tenant } = app;
      await app.mustPut('a', 100 * KB);
      const change = (quotaMb: number) => (): Promise<unknown> =>
        lane.admin.set(tenant, { quotaMb, overageAllowed: false }, actor);
      const step = repeated(change(3));
      return {
        ...step,
        next: async (answer) => {
          // Said to be done, it holds for the next request.
          if (answer !== 'done') return;
          const write = { tenant, key: 'b', bytes: mbToBytes(2) };
          const { admitted } = await lane.checker.check(write);
          if (!admitted) throw new Error('the change is not in force');
        },
        again: change(1) as () => Promise<void>,
      };
    },
  },
  {
    name: 'usage sync',
    upkeep: true,
    prepare: async (app) => {
      await app.mustPut('a', 100 * KB);
      return repeated(() => app.lane.upkeep.syncUsage());
    },
  },
  {
    name: 'sweep',
    upkeep: true,
    prepare: async (app) => {
      await app.mustPut('a', 100 * KB);
      await app.mustPut('b', 50 * KB, 1);
      await new Promise((resolve) => setTimeout(resolve, 1_050));
      return repeated(() => app.lane.upkeep.sweep());
    },
  },
];

function unavailable(error: unknown): string {
  if ((error as { code?: unknown }).code === 'quota_unavailable') return 'unavailable';
  throw error;
}
