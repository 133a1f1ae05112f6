import { hold, journaled, KB, reserving, type Operation } from './operation';

/** What somebody waits for. */
export const REQUESTS: readonly Operation[] = [
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
    name: 'write that finds a journal',
    prepare: async (app) => {
      await app.mustPut('a', 500 * KB);
      await app.mustPut('b', 200 * KB);
      await journaled(app, () => app.mustRemove('b'));
      // Fits only where the removal of `b` is known.
      return { act: () => app.put('c', 500 * KB) };
    },
  },
];
