import { Check, Column, Entity, Index, PrimaryGeneratedColumn } from 'typeorm';
import { bigintColumn } from './bigint';

/** Decisions on writes, the latest of them, for questions like "what would another limit have refused". */
@Entity({ name: 'quota_decisions' })
@Index('quota_decisions_tenant_id_decided_at_id_idx', ['tenantId', 'decidedAt', 'id'])
@Check('quota_decisions_decision_check', `decision IN ('ALLOW', 'WARN', 'REJECT')`)
@Check('quota_decisions_mode_check', `mode IN ('off', 'shadow', 'enforce')`)
export class QuotaDecisionRow {
  @PrimaryGeneratedColumn('increment', {
    type: 'bigint',
    primaryKeyConstraintName: 'quota_decisions_pkey',
  })
  id!: string;

  @Column({ name: 'tenant_id', type: 'text', collation: 'C' })
  tenantId!: string;

  /** Whole ms, by the clock of the instance that decided. */
  @Column({ name: 'decided_at', type: 'timestamptz' })
  decidedAt!: Date;

  @Column({ name: 'bytes', type: 'bigint', transformer: bigintColumn })
  bytes!: number;

  /** What the write changes of used. */
  @Column({ name: 'delta_bytes', type: 'bigint', transformer: bigintColumn })
  deltaBytes!: number;

  /** Null, as `quota_bytes`: refused for its size alone, the ledger was not asked. */
  @Column({
    name: 'used_before_bytes',
    type: 'bigint',
    nullable: true,
    transformer: bigintColumn,
  })
  usedBeforeBytes!: number | null;

  @Column({ name: 'quota_bytes', type: 'bigint', nullable: true, transformer: bigintColumn })
  quotaBytes!: number | null;

  @Column({ name: 'hard_bytes', type: 'bigint', transformer: bigintColumn })
  hardBytes!: number;

  @Column({ name: 'decision', type: 'text' })
  decision!: 'ALLOW' | 'WARN' | 'REJECT';

  @Column({ name: 'mode', type: 'text' })
  mode!: 'off' | 'shadow' | 'enforce';

  /** Decisions that should have come before this row, and were not recorded. */
  @Column({ name: 'missed', type: 'integer', default: 0 })
  missed!: number;
}
