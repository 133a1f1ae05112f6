import type { FaultKind } from './fault-kind';

const redis = (): string[] => ['redis'];

/** TIME moves inside a script. */
const BUSY = `
  local function ms() local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000 end
  local stop = ms() + tonumber(ARGV[1])
  while ms() < stop do end`;

export const REDIS_FAULTS: Readonly<Record<string, FaultKind>> = {
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
