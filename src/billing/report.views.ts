import { ApiProperty } from '@nestjs/swagger';
import { formatPeriod, type CacheMetricsRecord } from '@app/quota';
import type { Plain } from '../http/openapi';

/** A tenant's usage in one period. */
export class UsageView {
  @ApiProperty({ example: 'acme' })
  tenantId!: string;

  @ApiProperty({ description: 'UTC; by hour, day or month', example: '2026-11-01' })
  period!: string;

  @ApiProperty({
    description: 'Bytes held times seconds; text, since it may be beyond 2^53',
    example: '906011443200',
  })
  byteSeconds!: string;

  @ApiProperty({ description: 'The same in hours, rounded', example: '251669845' })
  byteHours!: string;

  @ApiProperty({ description: 'Seconds without a reading, counted with the smaller one beside' })
  estimatedSeconds!: number;

  @ApiProperty({ example: 10485760 })
  peakBytes!: number;

  @ApiProperty({ description: 'Writes let through' })
  writes!: number;

  @ApiProperty({ description: 'Writes refused (429)' })
  refusals!: number;

  @ApiProperty({ description: 'Writes let through in shadow mode that would have been refused' })
  shadowRefusals!: number;

  @ApiProperty({ description: 'Writes let through within the overage' })
  warnings!: number;
}

/** What a tenant's cache did on one day. */
export class CacheMetricsView {
  @ApiProperty({ example: 'acme' })
  tenantId!: string;

  @ApiProperty({ description: 'UTC', example: '2026-11-01' })
  date!: string;

  @ApiProperty()
  totalRequests!: number;

  @ApiProperty()
  cacheHits!: number;

  @ApiProperty()
  cacheMisses!: number;

  @ApiProperty({
    type: Number,
    nullable: true,
    description: 'Hits among hits and misses, 0 to 1; null when nothing was looked up',
  })
  hitRate!: number | null;

  @ApiProperty()
  totalBytesServed!: number;

  @ApiProperty({ type: Number, nullable: true })
  avgResponseTimeMs!: number | null;
}

export class UsagePageView {
  @ApiProperty({ type: [UsageView] })
  items!: UsageView[];

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'Goes on `after` this; null at the end',
  })
  next!: string | null;
}

export class CacheMetricsPageView {
  @ApiProperty({ type: [CacheMetricsView] })
  items!: CacheMetricsView[];

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'Goes on `after` this; null at the end',
  })
  next!: string | null;
}

export function cacheMetricsView(record: CacheMetricsRecord): Plain<CacheMetricsView> {
  const { hits, misses, avgResponseMs } = record;
  return {
    tenantId: record.tenant,
    date: formatPeriod('day', record.start),
    totalRequests: record.requests,
    cacheHits: hits,
    cacheMisses: misses,
    hitRate: hits + misses === 0 ? null : Number((hits / (hits + misses)).toFixed(6)),
    totalBytesServed: record.bytesServed,
    avgResponseTimeMs: avgResponseMs === null ? null : Number(avgResponseMs.toFixed(3)),
  };
}
