import { raceForQuota, reconcileAll } from './admin';
import type { Fault, FaultKind } from './fault-kind';
import { BOTH_LINKS, linkFaults } from './faults-links';
import { REDIS_FAULTS } from './faults-redis';
import { TENANTS } from './tenants';

const postgres = (): string[] => ['postgres'];
const app = ({ instance }: Fault): string[] => [`app-${instance}`];

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

/** Every kind there is, by its name. */
export const FAULTS: Readonly<Record<string, FaultKind>> = {
  ...REDIS_FAULTS,
  ...linkFaults('redis'),
  ...POSTGRES,
  ...linkFaults('postgres'),
  ...BOTH_LINKS,
  ...APPS,
  ...ADMINS,
};
