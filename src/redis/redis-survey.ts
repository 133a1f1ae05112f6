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
}

/** Asks every master; one that does not answer in time counts as one that does not serve. */
export async function surveyRedis(redis: RedisClient): Promise<RedisSurvey> {
  const masters = mastersOf(redis);
  const found = await Promise.all(masters.map((master) => inTime(ask(master, redis.isCluster))));
  const serving = found.filter((one) => one !== null);
  const policies = serving.flatMap(({ policy }) => policy ?? []);
  const policy = policies.find(evictsLedgers) ?? policies[0];
  // The client forgets a node that it has lost; the others still know of it.
  const known = Math.max(masters.length, ...serving.map(({ masters: size }) => size));
  return { masters: known, serving: serving.length, policy };
}

/** With allkeys-* Redis throws counters and values away as it likes: 199 of 200 idle ones, when measured. */
export function evictsLedgers(policy: string | undefined): boolean {
  return policy?.startsWith('allkeys') ?? false;
}

/** Null: it answers, but its Cluster has stopped serving. */
async function ask(
  master: Redis,
  ofCluster: boolean,
): Promise<{ policy: string | undefined; masters: number } | null> {
  const cluster = ofCluster ? await master.cluster('INFO') : '';
  if (cluster.includes('cluster_state:fail')) return null;
  const policy = /maxmemory_policy:(\S+)/.exec(await master.info('memory'))?.[1];
  return { policy, masters: Number(/cluster_size:(\d+)/.exec(cluster)?.[1] ?? 1) };
}

async function inTime<T>(answer: Promise<T>): Promise<T | null> {
  const late = sleep(MASTER_MS, null, { ref: false });
  return Promise.race([answer.catch(() => null), late]);
}
