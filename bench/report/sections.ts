import type { ClosedRow } from '../parts/closed';
import { median } from '../statistics';
import { ADAPTERS, VARIANTS } from '../variants';
import type { Results } from './results';
import { number, spread, table } from './tables';

/** Throughput, one table for each framework and width. */
export function closedSection({ closed }: Results): string {
  const groups = new Map<string, ClosedRow[]>();
  for (const row of closed) {
    const name = `${row.adapter}, ${row.connections} connections`;
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  const head = [
    'variant',
    'requests/s',
    'by the bare route',
    'µs of processor',
    'by the bare route',
  ];
  return [...groups]
    .map(([name, rows]) => {
      const bare = median(rows.find(({ variant }) => variant === 'bare')?.cpuMicros ?? []);
      const cells = rows.map((row) => [
        row.variant,
        spread(row.perSecond),
        row.problem === undefined ? spread(row.ratios, 2) : 'answers with errors',
        spread(row.cpuMicros),
        number(median(row.cpuMicros) / bare, 2),
      ]);
      return `### ${name}\n\n${table(head, cells)}`;
    })
    .join('\n\n');
}

/** Latency at a fixed rate. */
export function openSection({ open }: Results): string {
  const head = ['variant', 'p50 ms', 'p99 ms', 'added to p99', 'p99.9 ms, all rounds'];
  return ADAPTERS.flatMap((adapter) => {
    const rows = open.filter((row) => row.adapter === adapter);
    if (rows.length === 0) return [];
    const bare = median(rows.find(({ variant }) => variant === 'bare')?.p99 ?? []);
    const cells = rows.map(({ variant, p50, p99, pooledP999, problem }) => [
      ...[variant, spread(p50, 2), spread(p99, 2)],
      problem === undefined ? number(median(p99) - bare, 2) : 'answers with errors',
      number(pooledP999, 2),
    ]);
    const late = number(median(rows.flatMap(({ latenessP99 }) => latenessP99)), 2);
    return [
      `### ${adapter}\n\n${table(head, cells)}\n\nThe generator itself was late by ${late} ms at its p99.`,
    ];
  }).join('\n\n');
}

const SWEEPS = {
  tenants: ['Tenants', 'tenants', 'by the bare route'],
  bytes: ['Sizes of bodies', 'bytes', 'by the bare route'],
  entries: ['Ledgers', 'entries beforehand', 'by 10 entries'],
} as const;

/** What tenants, sizes and ledgers do to throughput. */
export function sweepSection({ sweeps }: Results): string {
  return Object.entries(SWEEPS)
    .map(([sweep, [title, what, ratio]]) => {
      const head = ['variant', what, 'requests/s', ratio, 'µs of processor'];
      const cells = sweeps
        .filter((row) => row.sweep === sweep)
        .map((row) => [
          ...[row.variant, number(row.at), spread(row.perSecond)],
          row.problem === undefined ? spread(row.ratios, 2) : 'answers with errors',
          spread(row.cpuMicros),
        ]);
      return `### ${title}\n\n${table(head, cells)}`;
    })
    .join('\n\n');
}

/** Reserve and commit without HTTP, and memory. */
export function belowSection({ below, memory }: Results): string {
  const head = ['variant', 'tenants', 'writes/s', 'µs of processor', 'bytes allocated'];
  const cells = below.map((row) => [
    ...[row.variant, number(row.tenants), spread(row.perSecond), spread(row.cpuMicros)],
    row.allocatedBytes === undefined ? '—' : number(row.allocatedBytes),
  ]);
  const redisHead = ['variant', 'tenants', 'commands', 'bytes in', 'bytes out', 'µs in Redis'];
  const redisCells = below.flatMap(({ variant, tenants, redis }) =>
    redis === undefined
      ? []
      : [
          [
            ...[variant, number(tenants), number(redis.commands, 2), number(redis.inputBytes)],
            ...[number(redis.outputBytes), number(redis.micros)],
          ],
        ],
  );
  const memoryHead = ['ledger in', 'an entry, beyond its key', 'key', 'a tenant with one entry'];
  const memoryCells = memory.map((row) => [
    ...[row.store, number(row.perEntry), number(row.keyBytes), number(row.perTenant)],
  ]);
  return [
    table(head, cells),
    'Redis, for one write:',
    table(redisHead, redisCells),
    'Memory in bytes:',
    table(memoryHead, memoryCells),
  ].join('\n\n');
}

/** What the names of the variants mean. */
export function variantList(): string {
  return VARIANTS.map(({ name, about }) => `- \`${name}\`: ${about}`).join('\n');
}
