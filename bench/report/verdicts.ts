import * as goals from '../goals';
import { median } from '../statistics';
import { ADAPTERS } from '../variants';
import type { Results } from './results';

/** A goal, and what was measured against it. */
export interface Verdict {
  readonly goal: string;
  readonly wanted: string;
  readonly found: string;
  /** Undefined: it was not measured. */
  readonly met: boolean | undefined;
}

/** Every goal of the project that a run can tell something of. */
export function verdictsOn(results: Results): Verdict[] {
  return [
    ...ratioVerdicts(results),
    ...rivalVerdicts(results),
    ...latencyVerdicts(results),
    ...sweepVerdicts(results),
    ...belowVerdicts(results),
  ];
}

function ratioVerdicts({ closed }: Results): Verdict[] {
  return closed.flatMap(({ variant, adapter, connections, ratios }) => {
    const wanted = goals.RATIO_GOALS[variant]?.[adapter];
    if (wanted === undefined) return [];
    const goal = `${variant}, ${adapter}, ${connections} connections: throughput by the bare route's`;
    return [atLeast(goal, wanted, median(ratios))];
  });
}

function rivalVerdicts({ closed }: Results): Verdict[] {
  return closed.flatMap(({ variant, adapter, connections, ratios }) =>
    (goals.RIVALS[variant] ?? []).flatMap((rival) => {
      const other = closed.find(
        (row) =>
          row.variant === rival && row.adapter === adapter && row.connections === connections,
      );
      if (other === undefined) return [];
      const goal = `${variant} not slower than ${rival}, ${adapter}, ${connections} connections`;
      return [atLeast(goal, median(other.ratios), median(ratios))];
    }),
  );
}

function latencyVerdicts({ open }: Results): Verdict[] {
  return ADAPTERS.flatMap((adapter) =>
    ['guard-redis', 'guard-redis-pipelined', 'guard-banked'].flatMap((variant) => {
      const own = open.filter((row) => row.adapter === adapter);
      const bare = own.find((row) => row.variant === 'bare');
      const guard = own.find((row) => row.variant === variant);
      if (bare === undefined || guard === undefined) return [];
      const added = median(guard.p99) - median(bare.p99);
      const goal = `${variant}, ${adapter}: added to p99 at 1,000 requests/s, ms`;
      return [atMost(goal, goals.ADDED_P99_MS, added)];
    }),
  );
}

function sweepVerdicts({ sweeps }: Results): Verdict[] {
  return sweeps.flatMap((row) => {
    const { sweep, at, variant, ratios, perSecond, cacheHitRate } = row;
    if (sweep === 'entries' && at === 1_000_000) {
      const goal = `${variant}: 1,000,000 entries in a tenant by 10, throughput`;
      return [atLeast(goal, goals.LARGE_LEDGER_RATIO, median(ratios))];
    }
    if (cacheHitRate !== undefined) {
      const goal = `${variant}: quotas found in memory, ${at.toLocaleString('en')} tenants`;
      return [atLeast(goal, goals.CACHE_HIT_RATE, cacheHitRate, 4)];
    }
    if (sweep !== 'tenants' || at !== 1 || variant === 'bare') return [];
    const spread = sweeps.find(
      (other) => other.sweep === 'tenants' && other.at === 100 && other.variant === variant,
    );
    if (spread === undefined) return [];
    const goal = `${variant}: one hot tenant by 100, throughput`;
    return [atLeast(goal, goals.LARGE_LEDGER_RATIO, median(perSecond) / median(spread.perSecond))];
  });
}

function belowVerdicts({ below, memory }: Results): Verdict[] {
  const found: Verdict[] = [];
  const redis = memory.find(({ store }) => store === 'redis');
  if (redis !== undefined) {
    const goal = 'Redis memory of an entry beyond its key, bytes';
    found.push(atMost(goal, goals.REDIS_ENTRY_BYTES, redis.perEntry));
  }
  const hot = below.find(({ variant, tenants }) => variant === 'guard-postgres' && tenants === 1);
  if (hot !== undefined) {
    const goal = 'Redis away: writes (reserve and commit) a second on one hot tenant';
    found.push(atLeast(goal, goals.FALLBACK_PER_SECOND, median(hot.perSecond)));
  }
  return found;
}

function atLeast(goal: string, wanted: number, found: number, digits = 2): Verdict {
  return {
    ...{ goal, wanted: `≥ ${show(wanted, digits)}`, found: show(found, digits) },
    met: Number.isNaN(found) ? undefined : found >= wanted,
  };
}

function atMost(goal: string, wanted: number, found: number): Verdict {
  return {
    ...{ goal, wanted: `≤ ${show(wanted)}`, found: show(found) },
    met: Number.isNaN(found) ? undefined : found <= wanted,
  };
}

function show(value: number, digits = 2): string {
  if (Number.isNaN(value)) return 'not measured';
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(digits);
}
