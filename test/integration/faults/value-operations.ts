import { QuotaUnavailableError, type ValueTracker, type Reservation } from '@app/quota';
import type { App } from './app';
import { actor, hold, KB, type Operation } from './operation';

/** Beside the ledger's own commands travels what is not above this. */
const LARGE = 100 * KB;

const valuesOf = (app: App): ValueTracker => app.lane.tracker as ValueTracker;
const bodyOf = (bytes: number): Buffer => Buffer.alloc(bytes, 'x');

/** Stores in the same step as it commits; once more with the same id, as the cache does. */
async function keep(app: App, reservation: Reservation, bytes: number): Promise<string> {
  const value = { body: bodyOf(bytes), meta: 'text' };
  for (let round = 0; ; round += 1) {
    try {
      const reply = await app.call(() => reservation.commit(bytes, { value }));
      return reply?.outcome === 'committed' ? 'stored' : (reply?.outcome ?? 'off');
    } catch (error) {
      if (!(error instanceof QuotaUnavailableError) || round === 1) throw error;
    }
  }
}

async function put(app: App, key: string, bytes: number): Promise<string> {
  const reservation = await app.reserve(key, bytes);
  return reservation === null ? 'refused' : keep(app, reservation, bytes);
}

async function mustPut(app: App, key: string, bytes: number): Promise<void> {
  const stored = async (): Promise<true | null> =>
    (await put(app, key, bytes)) === 'stored' ? true : null;
  await app.must(stored, `${key} to be stored`);
}

/** @throws Error when what was said to be stored is not there. */
async function expectStored(app: App, key: string, bytes: number): Promise<void> {
  const read = async (): Promise<number> =>
    (await valuesOf(app).getValue(app.tenant, key)).value?.body.length ?? 0;
  const found = await app.must(read, `${key} to be read`);
  if (found !== bytes) throw new Error(`${key} has ${found} bytes`);
}

/** A put whose value must be there when it was said to be. */
function putting(name: string, key: string, bytes: number): Operation {
  return {
    name,
    prepare: async (app) => {
      await mustPut(app, 'a', 10 * KB);
      return {
        act: () => put(app, key, bytes),
        next: async (answer) => {
          if (answer === 'stored') await expectStored(app, key, bytes);
        },
      };
    },
  };
}

/** Values beside the ledger in Redis, without a bank. */
export const VALUES: readonly Operation[] = [
  putting('value', 'b', 20 * KB),
  putting('value in place of another', 'a', 15 * KB),
  putting('large value', 'b', LARGE),
  putting('large value over a small one', 'a', LARGE),
  {
    name: 'value read',
    prepare: async (app) => {
      await mustPut(app, 'a', 10 * KB);
      return {
        act: async () => {
          const { value } = await app.call(() => valuesOf(app).getValue(app.tenant, 'a'));
          return String(value?.body.length);
        },
      };
    },
  },
  {
    name: 'value removed',
    prepare: async (app) => {
      await mustPut(app, 'a', 10 * KB);
      await mustPut(app, 'b', 10 * KB);
      return {
        act: async () => {
          await app.call(() => app.lane.checker.remove(app.tenant, 'b'));
          return 'done';
        },
        next: async (answer) => {
          if (answer !== 'done') return;
          const left = await valuesOf(app).getValue(app.tenant, 'b');
          if (left.value !== null) throw new Error('it was removed, and is still there');
        },
      };
    },
  },
  {
    name: 'value given up',
    prepare: async (app) => {
      await mustPut(app, 'a', 10 * KB);
      const reservation = await hold(app, 'b', 10 * KB);
      return {
        act: async () => {
          await app.call(() => reservation.release());
          return 'done';
        },
      };
    },
  },
  {
    name: 'tenant with values deleted',
    upkeep: true,
    prepare: async (app) => {
      await mustPut(app, 'a', LARGE);
      const { admin } = app.lane;
      const anew = { quotaMb: 1, overageAllowed: false };
      return {
        act: async () => {
          await admin.delete(app.tenant, actor);
          return 'done';
        },
        again: async () => {
          await admin.delete(app.tenant, actor);
          await admin.set(app.tenant, anew, actor);
        },
      };
    },
  },
];
