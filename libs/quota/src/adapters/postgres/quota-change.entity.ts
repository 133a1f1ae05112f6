import { Check, Column, CreateDateColumn, Entity, Index, PrimaryGeneratedColumn } from 'typeorm';

/** The configurable part of a quota, by the names of the table's columns. */
export interface QuotaSnapshot {
  readonly quota_mb: number;
  readonly overage_allowed: boolean;
  readonly overage_limit_mb: number;
  readonly mode: string | null;
  readonly version: number;
}

/**
 * The audit trail: who changed what, from, to, when. Written in the transaction of the change, while
 * the tenant is locked, so that a tenant's ids rise in the order its changes were committed; the
 * highest one is the stamp of its configuration, and outlives the quota itself.
 */
@Entity({ name: 'quota_changes' })
@Index('quota_changes_tenant_id_id_idx', ['tenantId', 'id'])
@Check('quota_changes_action_check', `action IN ('create', 'update', 'delete')`)
export class QuotaChange {
  @PrimaryGeneratedColumn('increment', {
    type: 'bigint',
    primaryKeyConstraintName: 'quota_changes_pkey',
  })
  id!: string;

  @Column({ name: 'tenant_id', type: 'text', collation: 'C' })
  tenantId!: string;

  @Column({ name: 'actor', type: 'text' })
  actor!: string;

  @Column({ name: 'action', type: 'text' })
  action!: 'create' | 'update' | 'delete';

  /** Null for `create`. */
  @Column({ name: 'before', type: 'jsonb', nullable: true })
  before!: QuotaSnapshot | null;

  /** Null for `delete`. */
  @Column({ name: 'after', type: 'jsonb', nullable: true })
  after!: QuotaSnapshot | null;

  @CreateDateColumn({ name: 'changed_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  changedAt!: Date;
}
