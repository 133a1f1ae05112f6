import type { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';
import { mastersOf, type RedisClient } from './redis-client';

/** One master of a Cluster that hangs must not hide what the others say. */
const MASTER_MS = 1_500;

/** What the masters say of themselves; there is one, or those of a Cluster. */
export interface RedisSurvey {
  readonly masters: number;
  /** Of these, that serve. */
  readonly serving: number;
  /** maxmemory-policy, the worst one counts; undefined where Redis does not say. */
  readonly policy: string | undefined;
  /** Connected replicas of all of them. */
  readonly replicas: number;
  /** Seconds since the replica furthest behind was heard of; 0 without replicas. */
  readonly lagSeconds: number;
  /** Bytes of the command stream that the furthest one has not confirmed. */
  readonly lagBytes: number;
}

/** What one master says. */
type MasterSurvey = Omit<RedisSurvey, 'serving'>;

/** Asks every master; one that does not answer in time counts as one that does not serve. */
export async function surveyRedis(redis: RedisClient): Promise<RedisSurvey> {
  const masters = mastersOf(redis);
  const found = await Promise.all(masters.map((master) => inTime(ask(master, redis.isCluster))));
  const serving = found.filter((one) => one !== null);
  const policies = serving.flatMap(({ policy }) => policy ?? []);
  const policy = policies.find(evictsLedgers) ?? policies[0];
  // The client forgets a node that it has lost; the others still know of it.
  const known = Math.max(masters.length, ...serving.map(({ masters: size }) => size));
  const worst = (of: (one: MasterSurvey) => number): number => Math.max(0, ...serving.map(of));
  return {
    ...{ masters: known, serving: serving.length, policy },
    replicas: serving.reduce((sum, { replicas }) => sum + replicas, 0),
    lagSeconds: worst(({ lagSeconds }) => lagSeconds),
    lagBytes: worst(({ lagBytes }) => lagBytes),
  };
}

/** With allkeys-* Redis throws counters and values away as it likes: 199 of 200 idle ones, when measured. */
export function evictsLedgers(policy: string | undefined): boolean {
  return policy?.startsWith('allkeys') ?? false;
}

/** Null: it answers, but its Cluster has stopped serving. */
async function ask(master: Redis, ofCluster: boolean): Promise<MasterSurvey | null> {
  const cluster = ofCluster ? await master.cluster('INFO') : '';
  if (cluster.includes('cluster_state:fail')) return null;
  const [memory, replication] = [await master.info('memory'), await master.info('replication')];
  const policy = /maxmemory_policy:(\S+)/.exec(memory)?.[1];
  const masters = Number(/cluster_size:(\d+)/.exec(cluster)?.[1] ?? 1);
  return { policy, masters, ...lagOf(replication) };
}

/** Only replicas that are online: one that is being filled for the first time is not behind. */
function lagOf(replication: string): Pick<RedisSurvey, 'replicas' | 'lagSeconds' | 'lagBytes'> {
  const written = Number(/master_repl_offset:(\d+)/.exec(replication)?.[1] ?? 0);
  const online = [...replication.matchAll(/^slave\d+:.*state=online,offset=(\d+),lag=(\d+)/gm)].map(
    ([, offset, lag]) => ({ behind: written - Number(offset), lag: Number(lag) }),
  );
  return {
    replicas: online.length,
    lagSeconds: Math.max(0, ...online.map(({ lag }) => lag)),
    lagBytes: Math.max(0, ...online.map(({ behind }) => behind)),
  };
}

async function inTime<T>(answer: Promise<T>): Promise<T | null> {
  const late = sleep(MASTER_MS, null, { ref: false });
  return Promise.race([answer.catch(() => null), late]);
}
