/** Where a variant keeps its numbers. */
export type Store = 'none' | 'memory' | 'redis' | 'postgres';

/** What a route is measured behind. */
export interface Variant {
  readonly name: string;
  readonly kind: 'bare' | 'guard' | 'throttler' | 'rlf';
  readonly store: Store;
  /** ioredis sends the commands of one turn of the event loop together. */
  readonly autoPipelining?: boolean;
  /** The guard's Redis admits within what PostgreSQL grants it. */
  readonly bank?: boolean;
  readonly about: string;
}

/** The order of all tables and plots. */
export const VARIANTS: readonly Variant[] = [
  { name: 'bare', kind: 'bare', store: 'none', about: 'the route alone' },
  { name: 'guard-memory', kind: 'guard', store: 'memory', about: 'this guard, in process' },
  { name: 'guard-redis', kind: 'guard', store: 'redis', about: 'this guard with Redis' },
  {
    ...{ name: 'guard-redis-pipelined', kind: 'guard', store: 'redis', autoPipelining: true },
    about: 'the same, ioredis with enableAutoPipelining',
  },
  {
    ...{ name: 'guard-banked', kind: 'guard', store: 'redis', bank: true },
    about: 'this guard with Redis under a bank in PostgreSQL',
  },
  {
    ...{ name: 'guard-postgres', kind: 'guard', store: 'postgres', bank: true },
    about: 'the same while Redis is away: PostgreSQL decides',
  },
  { name: 'throttler-memory', kind: 'throttler', store: 'memory', about: '@nestjs/throttler' },
  {
    ...{ name: 'throttler-redis', kind: 'throttler', store: 'redis' },
    about: 'with @nest-lab/throttler-storage-redis',
  },
  {
    ...{ name: 'throttler-redis-pipelined', kind: 'throttler', store: 'redis' },
    autoPipelining: true,
    about: 'the same, ioredis with enableAutoPipelining',
  },
  { name: 'rlf-memory', kind: 'rlf', store: 'memory', about: 'rate-limiter-flexible in a guard' },
  { name: 'rlf-redis', kind: 'rlf', store: 'redis', about: 'rate-limiter-flexible with Redis' },
  {
    ...{ name: 'rlf-redis-pipelined', kind: 'rlf', store: 'redis', autoPipelining: true },
    about: 'the same, ioredis with enableAutoPipelining',
  },
];

/** The frameworks that Nest stands on. */
export const ADAPTERS = ['express', 'fastify'] as const;
export type Adapter = (typeof ADAPTERS)[number];

/** @throws Error naming the variants there are. */
export function variantOf(name: string): Variant {
  const found = VARIANTS.find((variant) => variant.name === name);
  if (found !== undefined) return found;
  const names = VARIANTS.map((variant) => variant.name).join(', ');
  throw new Error(`There is no variant "${name}". Allowed: ${names}.`);
}
