import {
  Check,
  Column,
  CreateDateColumn,
  Entity,
  Index,
  PrimaryGeneratedColumn,
  Unique,
  UpdateDateColumn,
  VersionColumn,
} from 'typeorm';
import type { QuotaMode } from '../../core/quota';
import { bigintColumn, decimalColumn } from './bigint';

/**
 * A tenant's quota. Change it through `QuotaStore` or `QuotaAdmin`, which keep the audit trail and
 * tell the other instances; after a change by other means call `QuotaCacheService.invalidate`.
 */
@Entity({ name: 'tenant_cache_quotas' })
@Unique('tenant_cache_quotas_tenant_id_key', ['tenantId'])
@Check('tenant_cache_quotas_tenant_id_check', `tenant_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$'`)
@Check('tenant_cache_quotas_quota_mb_check', 'quota_mb > 0')
@Check('tenant_cache_quotas_usage_check', 'current_usage_bytes >= 0')
@Check('tenant_cache_quotas_overage_check', 'overage_limit_mb >= 0')
@Check('tenant_cache_quotas_mode_check', `mode IN ('off', 'shadow', 'enforce')`)
@Check('tenant_cache_quotas_version_check', 'version >= 1')
@Index('tenant_cache_quotas_over_quota_idx', ['tenantId'], {
  where: 'current_usage_bytes > quota_mb::bigint * 1048576',
})
@Index('tenant_cache_quotas_fill_idx', { synchronize: false })
export class TenantCacheQuota {
  @PrimaryGeneratedColumn('increment', {
    type: 'bigint',
    primaryKeyConstraintName: 'tenant_cache_quotas_pkey',
  })
  id!: string;

  /** Ordered byte by byte, so that pages of the list are the same in every locale. */
  @Column({ name: 'tenant_id', type: 'text', collation: 'C' })
  tenantId!: string;

  @Column({ name: 'quota_mb', type: 'integer', default: 100 })
  quotaMb!: number;

  /** As of the last synchronisation; the ledger knows better. */
  @Column({
    name: 'current_usage_bytes',
    type: 'bigint',
    default: 0,
    transformer: bigintColumn,
  })
  currentUsageBytes!: number;

  @Column({
    name: 'current_usage_mb',
    type: 'numeric',
    precision: 20,
    scale: 6,
    generatedType: 'STORED',
    asExpression: 'current_usage_bytes / 1048576.0',
    nullable: true,
    insert: false,
    update: false,
    transformer: decimalColumn,
  })
  readonly currentUsageMb!: number;

  /** When that was read from the ledger, by this database's clock; null: never. */
  @Column({ name: 'usage_read_at', type: 'timestamptz', nullable: true })
  usageReadAt!: Date | null;

  @Column({ name: 'quota_reset_at', type: 'timestamptz', nullable: true })
  quotaResetAt!: Date | null;

  @Column({ name: 'overage_allowed', type: 'boolean', default: false })
  overageAllowed!: boolean;

  @Column({ name: 'overage_limit_mb', type: 'integer', default: 10 })
  overageLimitMb!: number;

  /** Null follows the rollout. */
  @Column({ name: 'mode', type: 'text', nullable: true })
  mode!: QuotaMode | null;

  /** Rises by one with every change. */
  @VersionColumn({ name: 'version', type: 'integer', default: 1 })
  version!: number;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;
}
