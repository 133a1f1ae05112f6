import { Check, Column, Entity, Index, PrimaryGeneratedColumn, Unique } from 'typeorm';
import { bigintColumn, decimalColumn } from './bigint';

/** What a tenant's cache did on one day (UTC). */
@Entity({ name: 'tenant_cache_metrics' })
@Index('tenant_cache_metrics_metric_date_idx', ['metricDate'])
@Unique('tenant_cache_metrics_tenant_id_metric_date_key', ['tenantId', 'metricDate'])
@Check('tenant_cache_metrics_tenant_id_check', `tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'`)
@Check(
  'tenant_cache_metrics_counts_check',
  'total_requests >= 0 AND cache_hits >= 0 AND cache_misses >= 0 AND total_bytes_served >= 0',
)
@Check(
  'tenant_cache_metrics_response_time_check',
  `avg_response_time_ms >= 0 AND avg_response_time_ms < 'Infinity'`,
)
export class TenantCacheMetric {
  @PrimaryGeneratedColumn('increment', {
    type: 'bigint',
    primaryKeyConstraintName: 'tenant_cache_metrics_pkey',
  })
  id!: string;

  @Column({ name: 'tenant_id', type: 'text', collation: 'C' })
  tenantId!: string;

  /** `YYYY-MM-DD` */
  @Column({ name: 'metric_date', type: 'date' })
  metricDate!: string;

  @Column({ name: 'total_requests', type: 'bigint', default: 0, transformer: bigintColumn })
  totalRequests!: number;

  @Column({ name: 'cache_hits', type: 'bigint', default: 0, transformer: bigintColumn })
  cacheHits!: number;

  @Column({ name: 'cache_misses', type: 'bigint', default: 0, transformer: bigintColumn })
  cacheMisses!: number;

  @Column({ name: 'total_bytes_served', type: 'bigint', default: 0, transformer: bigintColumn })
  totalBytesServed!: number;

  @Column({ name: 'avg_response_time_ms', type: 'double precision', nullable: true })
  avgResponseTimeMs!: number | null;

  /** Hits among hits and misses, 0 to 1; null when there were neither. */
  @Column({
    name: 'hit_rate',
    type: 'numeric',
    precision: 7,
    scale: 6,
    generatedType: 'STORED',
    asExpression: 'cache_hits::numeric / NULLIF(cache_hits + cache_misses, 0)',
    nullable: true,
    insert: false,
    update: false,
    transformer: decimalColumn,
  })
  readonly hitRate!: number | null;
}
