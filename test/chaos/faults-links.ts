import { sleep } from './clock';
import type { End, Fault, FaultKind } from './fault-kind';
import type { Link, Trouble } from './link';
import type { Store } from './options';

const link = (store: Store) => (fault: Fault) => [`${store}-link-${fault.instance}`];

/** One process loses its link to a server, in five ways. */
export function linkFaults(store: Store): Record<string, FaultKind> {
  const takes = link(store);
  const fault = (
    ms: readonly [number, number],
    begin: (link: Link, fault: Fault) => Promise<End | undefined>,
  ): FaultKind => ({
    ...{ ms, takes },
    begin: async ({ links }, planned) => {
      const one = links[store][planned.instance];
      return one && begin(one, planned);
    },
  });
  const troubled = (ms: readonly [number, number], trouble: (fault: Fault) => Trouble): FaultKind =>
    fault(ms, async (one, planned) => {
      one.set(trouble(planned));
      return () => one.set({ kind: 'open' });
    });
  return {
    [`${store}-link-cut`]: fault([0, 0], async (one) => {
      one.cut();
      await sleep(0);
      return undefined;
    }),
    [`${store}-link-refused`]: fault([1_000, 5_000], async (one) => {
      await one.refuse();
      return () => one.open();
    }),
    [`${store}-link-hangs`]: troubled([500, 4_000], () => ({ kind: 'hang' })),
    [`${store}-link-slow`]: troubled([1_000, 4_000], ({ roll }) => ({
      kind: 'delay',
      ms: Math.round(20 + roll * 280),
    })),
    [`${store}-link-loses-replies`]: troubled([200, 1_000], () => ({ kind: 'deaf' })),
  };
}

/** One process loses both, and the others neither. */
export const BOTH_LINKS: Readonly<Record<string, FaultKind>> = {
  'both-links-refused': {
    ms: [500, 3_000],
    takes: (fault) => [...link('redis')(fault), ...link('postgres')(fault)],
    begin: async ({ links }, { instance }) => {
      const both = [links.redis[instance], links.postgres[instance]];
      await Promise.all(both.map(async (one) => one?.refuse()));
      return async () => {
        await Promise.all(both.map(async (one) => one?.open()));
      };
    },
  },
};
