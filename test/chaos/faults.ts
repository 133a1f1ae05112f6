import { raceForQuota, reconcileAll } from './admin';
import { sleep } from './clock';
import type { Link, Trouble } from './link';
import type { Store } from './options';
import type { Stand } from './stand';
import { TENANTS } from './tenants';

/** One fault of the plan, as the seed has it. */
export interface Fault {
  readonly kind: string;
  /** After the load began. */
  readonly atMs: number;
  /** How long it stays. */
  readonly ms: number;
  /** Which process, for faults of one. */
  readonly instance: number;
  /** 0 to 1, for what else there is to choose. */
  readonly roll: number;
}

type End = () => void | Promise<void>;

export interface FaultKind {
  /** Bounds of how long it stays, in ms. */
  readonly ms: readonly [number, number];
  /** Only with values kept there. */
  readonly store?: Store;
  /** What no two faults may have at a time. */
  readonly takes: (fault: Fault) => readonly string[];
  readonly begin: (stand: Stand, fault: Fault) => Promise<End | undefined>;
}

const redis = (): string[] => ['redis'];
const postgres = (): string[] => ['postgres'];
const app = ({ instance }: Fault): string[] => [`app-${instance}`];
const link = (store: Store) => (fault: Fault) => [`${store}-link-${fault.instance}`];

const REDIS: Record<string, FaultKind> = {
  'redis-kill': {
    ms: [100, 1_500],
    takes: redis,
    begin: async ({ redis: server }) => {
      await server.kill();
      return () => server.restart();
    },
  },
  'redis-stop': {
    ms: [100, 3_000],
    takes: redis,
    begin: async ({ redis: server }) => {
      server.pause();
      return () => server.resume();
    },
  },
  'redis-flushall': {
    ...{ ms: [0, 0], store: 'postgres', takes: redis },
    begin: async (stand) => {
      await stand.untilRedis((client) => client.flushall());
      return undefined;
    },
  },
  'redis-empty': {
    ...{ ms: [0, 0], store: 'postgres', takes: redis },
    begin: async (stand) => {
      await stand.restartRedisEmpty();
      return undefined;
    },
  },
  'redis-script-flush': {
    ms: [500, 2_000],
    takes: redis,
    begin: async ({ own }) => {
      const timer = setInterval(() => void own.redis.script('FLUSH').catch(() => undefined), 50);
      return () => clearInterval(timer);
    },
  },
  'redis-full': config('maxmemory', '1mb', '0', [1_000, 3_000]),
  'redis-noreplicas': config('min-replicas-to-write', '1', '0', [500, 3_000]),
  'redis-busy': {
    ms: [300, 1_000],
    takes: redis,
    begin: async ({ own }, { ms }) => {
      await own.redis.eval(BUSY, 0, String(ms)).catch(() => undefined);
      return undefined;
    },
  },
  'redis-client-kill': {
    ms: [0, 0],
    takes: redis,
    begin: async (stand) => {
      await stand.untilRedis((client) => client.client('KILL', 'TYPE', 'normal'));
      return undefined;
    },
  },
};

const POSTGRES: Record<string, FaultKind> = {
  'postgres-immediate': {
    ms: [100, 1_500],
    takes: postgres,
    begin: async ({ postgres: server }) => {
      // What PostgreSQL calls an immediate stop.
      await server.kill('SIGQUIT');
      return () => server.restart();
    },
  },
  'postgres-stop': {
    ms: [200, 2_000],
    takes: postgres,
    begin: async ({ postgres: server }) => {
      server.pause();
      return () => server.resume();
    },
  },
  'postgres-terminate-all': {
    ms: [0, 0],
    takes: postgres,
    begin: async ({ own }) => {
      await own.pool
        .query(
          'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()',
        )
        .catch(() => undefined);
      return undefined;
    },
  },
};

const APPS: Record<string, FaultKind> = {
  'app-kill': {
    ms: [100, 1_000],
    takes: app,
    begin: async ({ apps }, { instance }) => {
      await apps[instance]?.kill();
      return () => apps[instance]?.start();
    },
  },
  'app-term': {
    ms: [0, 500],
    takes: app,
    begin: async ({ apps }, { instance }) => {
      await apps[instance]?.terminate();
      return () => apps[instance]?.start();
    },
  },
  'app-stop': {
    ms: [100, 2_000],
    takes: app,
    begin: async ({ apps }, { instance }) => {
      apps[instance]?.stop();
      return () => apps[instance]?.goOn();
    },
  },
};

const ADMINS: Record<string, FaultKind> = {
  'reconcile-all': {
    ...{ ms: [0, 0], takes: () => ['reconcile'] },
    begin: async ({ liveApps, report }) => {
      await reconcileAll(liveApps, TENANTS, report);
      return undefined;
    },
  },
  'quota-race': {
    ...{ ms: [0, 0], takes: () => ['quota'] },
    begin: async ({ liveApps, report }) => {
      const elastic = TENANTS.find((tenant) => tenant.elastic);
      if (elastic !== undefined) await raceForQuota(liveApps, elastic, report);
      return undefined;
    },
  },
};

export const FAULTS: Readonly<Record<string, FaultKind>> = {
  ...REDIS,
  ...linkFaults('redis'),
  ...POSTGRES,
  ...linkFaults('postgres'),
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
  ...APPS,
  ...ADMINS,
};

/** TIME moves inside a script. */
const BUSY = `
  local function ms() local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000 end
  local stop = ms() + tonumber(ARGV[1])
  while ms() < stop do end`;

function config(name: string, bad: string, good: string, ms: [number, number]): FaultKind {
  return {
    ms,
    takes: redis,
    begin: async (stand) => {
      await stand.untilRedis((client) => client.config('SET', name, bad));
      return () => stand.untilRedis((client) => client.config('SET', name, good));
    },
  };
}

function linkFaults(store: Store): Record<string, FaultKind> {
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
