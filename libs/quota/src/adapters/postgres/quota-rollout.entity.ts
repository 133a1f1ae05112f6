import { Check, Column, Entity, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import { decimalColumn } from './bigint';

/** What was set of the rollout at run time, for all instances: one row, or none. */
@Entity({ name: 'quota_rollout' })
@Check('quota_rollout_one_row_check', 'only_row')
@Check('quota_rollout_percent_check', 'percent BETWEEN 0 AND 100')
export class QuotaRolloutRow {
  @PrimaryColumn({
    name: 'only_row',
    type: 'boolean',
    default: true,
    primaryKeyConstraintName: 'quota_rollout_pkey',
  })
  onlyRow!: boolean;

  /** Null, here and below: the environment's value. */
  @Column({ name: 'enabled', type: 'boolean', nullable: true })
  enabled!: boolean | null;

  @Column({ name: 'log_only', type: 'boolean', nullable: true })
  logOnly!: boolean | null;

  @Column({
    name: 'percent',
    type: 'numeric',
    precision: 5,
    scale: 2,
    nullable: true,
    transformer: decimalColumn,
  })
  percent!: number | null;

  @Column({ name: 'tenants', type: 'text', array: true, nullable: true })
  tenants!: string[] | null;

  /** Rises by one with every change, and never falls. */
  @Column({ name: 'version', type: 'integer' })
  version!: number;

  @Column({ name: 'actor', type: 'text' })
  actor!: string;

  @Column({ name: 'changed_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  changedAt!: Date;
}

/** Who changed the rollout, from, to, when; written in the transaction of the change. */
@Entity({ name: 'quota_rollout_changes' })
export class QuotaRolloutChange {
  @PrimaryGeneratedColumn('increment', {
    type: 'bigint',
    primaryKeyConstraintName: 'quota_rollout_changes_pkey',
  })
  id!: string;

  @Column({ name: 'version', type: 'integer' })
  version!: number;

  @Column({ name: 'actor', type: 'text' })
  actor!: string;

  @Column({ name: 'before', type: 'jsonb' })
  before!: object;

  @Column({ name: 'after', type: 'jsonb' })
  after!: object;

  @Column({ name: 'changed_at', type: 'timestamptz', default: () => 'clock_timestamp()' })
  changedAt!: Date;
}
