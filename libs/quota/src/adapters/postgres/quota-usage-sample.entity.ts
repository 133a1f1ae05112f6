import { Check, Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { bigintColumn } from './bigint';

/** What a tenant used in one hour (UTC). */
@Entity({ name: 'quota_usage_samples' })
@Index('quota_usage_samples_hour_idx', ['hour'])
@Check('quota_usage_samples_tenant_id_check', `tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'`)
@Check('quota_usage_samples_hour_check', 'extract(epoch FROM hour) % 3600 = 0')
@Check(
  'quota_usage_samples_counts_check',
  'byte_seconds >= 0 AND estimated_seconds BETWEEN 0 AND 3600 AND peak_bytes >= 0 ' +
    'AND writes >= 0 AND refusals >= 0 AND shadow_refusals >= 0 AND warnings >= 0',
)
export class QuotaUsageSample {
  @PrimaryColumn({
    name: 'tenant_id',
    type: 'text',
    collation: 'C',
    primaryKeyConstraintName: 'quota_usage_samples_pkey',
  })
  tenantId!: string;

  /** Its first moment. */
  @PrimaryColumn({
    type: 'timestamptz',
    primaryKeyConstraintName: 'quota_usage_samples_pkey',
  })
  hour!: Date;

  /** Bytes held, times the seconds they were held; as text, since it may be beyond 2^53. */
  @Column({ name: 'byte_seconds', type: 'numeric', precision: 39, scale: 0, default: 0 })
  byteSeconds!: string;

  /** Seconds of the hour in which usage was not read; the smaller reading beside the gap stands for it. */
  @Column({ name: 'estimated_seconds', type: 'integer', default: 0 })
  estimatedSeconds!: number;

  @Column({ name: 'peak_bytes', type: 'bigint', default: 0, transformer: bigintColumn })
  peakBytes!: number;

  @Column({ type: 'bigint', default: 0, transformer: bigintColumn })
  writes!: number;

  /** Writes refused since the tenant was over its limit. */
  @Column({ type: 'bigint', default: 0, transformer: bigintColumn })
  refusals!: number;

  /** Writes let through in shadow mode that would have been refused. */
  @Column({ name: 'shadow_refusals', type: 'bigint', default: 0, transformer: bigintColumn })
  shadowRefusals!: number;

  /** Writes let through beyond the quota, within the overage. */
  @Column({ type: 'bigint', default: 0, transformer: bigintColumn })
  warnings!: number;
}
