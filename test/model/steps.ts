import fc from 'fast-check';
import type { CommitRequest } from '../../libs/quota/src/core';
import { KEYS, type Request, type World, type Write } from './world';

/** One thing to do, small and free of references, so that fast-check can shrink it. */
export type Plan =
  | {
      do: 'reserve';
      key: number;
      bytes: number;
      units: number;
      crash: boolean;
      old: boolean;
      keep: boolean;
    }
  | { do: 'check'; key: number; bytes: number }
  | {
      do: 'commit';
      /** Time that goes by before, so that the commit meets what nobody has reaped. */
      after: number;
      pick: number;
      more: number;
      ttl: number;
      version: number;
      value: boolean;
    }
  | { do: 'release'; pick: number }
  | { do: 'release early'; key: number; bytes: number }
  | { do: 'remove'; key: number; version: number }
  | { do: 'refund'; bytes: number }
  | { do: 'pass'; units: number }
  | { do: 'limits'; quota: number; overage: number }
  | { do: 'mode'; enforce: boolean }
  | { do: 'drop' | 'recount' }
  | { do: 'sweep'; max: number }
  /** Picks among what is listed as lapsed, or among all writes there were. */
  | { do: 'let go'; picks: number[]; any: boolean }
  | { do: 'settled'; count: number }
  | { do: 'correct'; key: number; bytes: number; seen: boolean }
  | { do: 'store'; key: number; bytes: number; ttl: number }
  | { do: 'again'; pick: number };

/** Long enough that no test outlives it. */
const LONG_MS = 600_000;

/** One beyond the keys is a charge without a key. */
const anyKey = fc.oneof(fc.constant(0), fc.nat(KEYS.length));
const realKey = fc.oneof(fc.constant(0), fc.nat(KEYS.length - 1));
/** Mostly one of the latest. */
const pick = fc.oneof(fc.nat(2), fc.nat(30));
const size = fc.oneof(fc.nat(80), fc.constantFrom(0, 1, 100, 120, 121));
/** 0: never. */
const ttl = fc.nat(4);
/** 0: none; 1: the next; more: so many behind. */
const version = fc.nat(3);

const plan = (name: Plan['do'], fields: Record<string, fc.Arbitrary<unknown>> = {}) =>
  fc.record({ do: fc.constant(name), ...fields }) as fc.Arbitrary<Plan>;

const rare = { weight: 1 };
const usual = { weight: 4 };
const often = { weight: 10 };

export function plans(keepsValues: boolean): fc.Arbitrary<Plan> {
  const units = fc.nat(3);
  const old = fc.oneof(
    { ...often, arbitrary: fc.constant(false) },
    { ...rare, arbitrary: fc.constant(true) },
  );
  const reserve = { key: anyKey, bytes: size, units, crash: old, old, keep: fc.boolean() };
  const after = fc.oneof(
    { ...usual, arbitrary: fc.constant(0) },
    { ...rare, arbitrary: fc.nat(3) },
  );
  const commit = {
    after,
    pick,
    more: fc.integer({ min: -60, max: 60 }),
    ttl,
    version,
    value: fc.boolean(),
  };
  return fc.oneof(
    { ...often, arbitrary: plan('reserve', reserve) },
    { ...often, arbitrary: plan('commit', { ...commit, more: fc.constant(0) }) },
    { ...usual, arbitrary: plan('commit', commit) },
    { ...rare, arbitrary: plan('check', { key: anyKey, bytes: size }) },
    { ...usual, arbitrary: plan('release', { pick }) },
    { ...rare, arbitrary: plan('release early', { key: anyKey, bytes: size }) },
    { ...usual, arbitrary: plan('remove', { key: realKey, version }) },
    { ...rare, arbitrary: plan('refund', { bytes: size }) },
    { ...usual, arbitrary: plan('pass', { units: fc.integer({ min: 1, max: 3 }) }) },
    { ...rare, arbitrary: plan('limits', { quota: fc.nat(200), overage: fc.constantFrom(0, 20) }) },
    { ...rare, arbitrary: plan('mode', { enforce: fc.boolean() }) },
    { ...rare, arbitrary: plan('drop') },
    { ...rare, arbitrary: plan('recount') },
    { ...rare, arbitrary: plan('sweep', { max: fc.nat(3) }) },
    {
      weight: 2,
      arbitrary: plan('let go', { picks: fc.array(fc.nat(9), { maxLength: 3 }), any: old }),
    },
    { ...rare, arbitrary: plan('settled', { count: fc.nat(2) }) },
    {
      weight: 2,
      arbitrary: plan('correct', {
        key: realKey,
        bytes: fc.integer({ min: -1, max: 60 }),
        seen: fc.boolean(),
      }),
    },
    ...(keepsValues
      ? [{ weight: 2, arbitrary: plan('store', { key: realKey, bytes: size, ttl }) }]
      : []),
    { ...usual, arbitrary: plan('again', { pick }) },
  );
}

/** Carries a plan out, if there is anything it can be done to. */
export async function carryOut(world: World, step: Plan): Promise<void> {
  if (step.do === 'pass') return world.pass(step.units);
  if (step.do === 'limits') {
    world.limits = { quotaBytes: step.quota, hardBytes: step.quota + step.overage };
    world.stamp++;
    return;
  }
  if (step.do === 'mode') {
    world.enforce = step.enforce;
    return;
  }
  if (step.do === 'commit' && step.after > 0) await world.pass(step.after);
  const request = requestOf(world, step);
  if (request) await world.send(request);
}

type Sending = Exclude<Plan, { do: 'pass' | 'limits' | 'mode' }>;

function requestOf(world: World, step: Sending): Request | null {
  const { tenant } = world;
  switch (step.do) {
    case 'reserve':
      return reserveOf(world, step);
    case 'check':
      return { op: 'check', args: questionOf(world, step.key, step.bytes) };
    case 'commit':
      return commitOf(world, step);
    case 'release': {
      const write = pickWrite(world, step.pick);
      return write && { op: 'release', args: { tenant, id: write.id } };
    }
    case 'release early': {
      const late = reserveOf(world, {
        ...step,
        do: 'reserve',
        units: 0,
        crash: false,
        old: false,
        keep: true,
      });
      // Kept as if sent, so that it may come after its release.
      world.sent.push(late);
      return { op: 'release', args: { tenant, id: late.args.id } };
    }
    case 'remove': {
      const { version: wanted } = step;
      return {
        op: 'remove',
        args: { tenant, id: world.nextId(), key: KEYS[step.key]!, ...versionOf(world, wanted) },
      };
    }
    case 'refund':
      return { op: 'refund', args: { tenant, id: world.nextId(), bytes: step.bytes } };
    case 'sweep':
      return { op: 'sweep', args: { max: step.max } };
    case 'let go':
      return letGoOf(world, step);
    case 'settled':
      return { op: 'settled', args: { count: step.count } };
    case 'drop':
    case 'recount':
      return { op: step.do };
    case 'correct':
      return correctOf(world, step);
    case 'store':
      return storeOf(world, step);
    case 'again':
      return world.sent.at(-1 - (step.pick % Math.max(1, world.sent.length))) ?? null;
  }
}

function questionOf(world: World, key: number, bytes: number) {
  const { tenant, limits, stamp, enforce } = world;
  return { tenant, bytes, limits, stamp, enforce, ...keyed(KEYS[key]) };
}

function reserveOf(
  world: World,
  step: Extract<Plan, { do: 'reserve' }>,
): Extract<Request, { op: 'reserve' }> {
  const id = world.nextId();
  const { key, bytes, units, crash, keep } = step;
  world.writes.push({ id, key: KEYS[key], bytes, crashed: crash });
  const holdMs = units === 0 ? LONG_MS : units * world.harness.unitMs;
  const question = questionOf(world, key, bytes);
  const stamp = Math.max(0, world.stamp - (step.old ? 1 : 0));
  return { op: 'reserve', args: { ...question, stamp, id, holdMs, keep } };
}

function commitOf(world: World, step: Extract<Plan, { do: 'commit' }>): Request | null {
  const write = pickWrite(world, step.pick);
  if (!write?.admitted) return null;
  const { id, key } = write;
  const { tenant, limits, enforce } = world;
  const { generation, life } = write.admitted;
  const bytes = Math.max(0, write.bytes + step.more);
  const value =
    world.keepsValues && step.value && key !== undefined
      ? { value: { body: Buffer.from(`value of ${id}`), meta: `m ${id}` } }
      : {};
  const args: CommitRequest = {
    ...{ tenant, id, bytes, limits, enforce, generation },
    ...{ ...keyed(key), ...lifeOf(world, step.ttl), ...versionOf(world, step.version), ...value },
  };
  return { op: 'commit', args, life };
}

function letGoOf(world: World, { picks, any }: Extract<Plan, { do: 'let go' }>): Request {
  const known: readonly { readonly id: string }[] = any ? world.writes : world.lapsed;
  const ids = picks.flatMap((index) => known[index % known.length]?.id ?? []);
  return { op: 'let go', args: { ids } };
}

function correctOf(world: World, step: Extract<Plan, { do: 'correct' }>): Request {
  const key = KEYS[step.key]!;
  const entry = world.model.entry(key);
  const seen = step.seen && entry ? { seen: { bytes: entry.bytes, version: entry.version } } : {};
  return {
    op: 'correct',
    args: { key, ...(step.bytes < 0 ? {} : { bytes: step.bytes }), ...seen },
  };
}

function storeOf(world: World, step: Extract<Plan, { do: 'store' }>): Request {
  const { tenant, stamp } = world;
  const id = world.nextId();
  const value = { body: Buffer.alloc(step.bytes, id), meta: id };
  return {
    op: 'store',
    args: { tenant, id, key: KEYS[step.key]!, value, stamp, ...lifeOf(world, step.ttl) },
  };
}

/** One of the latest writes whose owner still lives, settled or not. */
function pickWrite(world: World, index: number): Write | null {
  const writes = world.writes.filter(({ crashed, admitted }) => !crashed && admitted);
  return writes.at(-1 - (index % Math.max(1, writes.length))) ?? null;
}

function keyed(key: string | undefined): { key?: string } {
  return key === undefined ? {} : { key };
}

function lifeOf(world: World, units: number): { ttlMs?: number } {
  return units === 0 ? {} : { ttlMs: units * world.harness.unitMs };
}

function versionOf(world: World, wanted: number): { version?: number } {
  if (wanted === 0) return {};
  if (wanted === 1) world.version++;
  return { version: Math.max(1, world.version - (wanted - 1)) };
}
