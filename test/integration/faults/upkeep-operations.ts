import { mbToBytes } from '@app/quota';
import { waitUntil } from '../../support';
import type { App } from './app';
import { actor, journaled, KB, type Operation, type Step } from './operation';

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

/** What operators and instances do, and what comes after a loss of data. */
export const UPKEEP: readonly Operation[] = [
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
      const again = async (): Promise<void> => {
        await step.again!();
        await anew();
      };
      return { ...step, again };
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
        await app.mustRemove('b');
      });
      return {
        act: async () => {
          await app.lane.endLease('fold');
          await app.lane.bankUpkeep?.round();
          return 'done';
        },
      };
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
            (await app.lane.grantOf(app.tenant)) >= 300 * KB &&
            !(await app.lane.isLeased(`rebuild:${app.tenant}`));
          await waitUntil(rebuilt, { timeoutMs: 1_500 }).catch(() => undefined);
          return answer;
        },
        // A loss is found by a write.
        again: () => app.mustPut('d', 10 * KB),
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
