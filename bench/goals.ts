import type { Adapter } from './variants';

/** The least throughput by the bare route's in the same round that the project wants. */
export const RATIO_GOALS: Readonly<Record<string, Readonly<Record<Adapter, number>>>> = {
  'guard-memory': { express: 0.92, fastify: 0.85 },
  'guard-redis': { express: 0.8, fastify: 0.7 },
  'guard-redis-pipelined': { express: 0.8, fastify: 0.7 },
};

/** What the limiters are compared on, beside the guard on the same store. */
export const RIVALS: Readonly<Record<string, readonly string[]>> = {
  'guard-memory': ['throttler-memory', 'rlf-memory'],
  'guard-redis': ['throttler-redis', 'rlf-redis'],
  'guard-redis-pipelined': ['throttler-redis-pipelined', 'rlf-redis-pipelined'],
};

/** Added to the bare route's p99 at 1,000 requests a second, with Redis, in ms. */
export const ADDED_P99_MS = 2;

/** Share of quotas found in memory in steady state. */
export const CACHE_HIT_RATE = 0.99;

/** Throughput of a tenant with 1,000,000 entries by that of one with 10; and of one tenant by 100. */
export const LARGE_LEDGER_RATIO = 0.9;

/** Of an entry in Redis, beyond its key. */
export const REDIS_ENTRY_BYTES = 200;

/** Decisions a second on one hot tenant while Redis is away. */
export const FALLBACK_PER_SECOND = 1_500;

/**
 * What the short form holds the ratios to, at 32 connections: a fifth to a quarter below what was
 * measured when they were last set, and so not the goals. Raise them when it becomes faster.
 */
export const RATIO_FLOORS: Readonly<Record<string, Readonly<Record<Adapter, number>>>> = {
  'guard-memory': { express: 0.45, fastify: 0.2 },
  'guard-redis': { express: 0.35, fastify: 0.11 },
};
