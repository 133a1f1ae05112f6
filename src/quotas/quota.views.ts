import { ApiProperty } from '@nestjs/swagger';
import {
  bytesToMb,
  PLAN_NAMES,
  usageAnswer,
  type PlanName,
  type QuotaDecision,
  type QuotaMode,
  type QuotaStatus,
} from '@app/quota';
import type { Plain } from '../http/openapi';

export const MODES = ['off', 'shadow', 'enforce'];

/** What a tenant holds. */
export class UsageView {
  @ApiProperty({ description: 'Committed and reserved', example: 31_457_280 })
  usedBytes!: number;

  @ApiProperty({ example: 30 })
  usedMb!: number;

  @ApiProperty({ description: 'Bytes of what is stored', example: 31_457_280 })
  committedBytes!: number;

  @ApiProperty({ description: 'Bytes held for writes on their way', example: 0 })
  reservedBytes!: number;

  @ApiProperty({ description: 'Bytes stored while the quota was off; not in used', example: 0 })
  unmeteredBytes!: number;
}

/** From where on a write is warned about, and from where on it is refused. */
export class ThresholdsView {
  @ApiProperty({ description: 'Used beyond this: warning', example: 104_857_600 })
  warnAboveBytes!: number;

  @ApiProperty({ description: 'Used beyond this: refused', example: 115_343_360 })
  rejectAboveBytes!: number;
}

/** Where the caller stands. */
export class StandingView extends UsageView {
  @ApiProperty({ example: 'starter' })
  tenantId!: string;

  @ApiProperty({ enum: MODES })
  mode!: QuotaMode;

  @ApiProperty({ enum: ['ALLOW', 'WARN', 'REJECT'], description: 'What the next byte would meet' })
  decision!: QuotaDecision;

  @ApiProperty({ enum: ['tenant', 'default'], description: 'A quota of its own, or the default' })
  origin!: 'tenant' | 'default';

  @ApiProperty({ example: 100 })
  quotaMb!: number;

  @ApiProperty({ example: 104_857_600 })
  quotaBytes!: number;

  @ApiProperty()
  overageAllowed!: boolean;

  @ApiProperty({ example: 10 })
  overageLimitMb!: number;

  @ApiProperty({ description: 'Left up to the quota', example: 73_400_320 })
  remainingBytes!: number;

  @ApiProperty({ example: 30 })
  percent!: number;

  @ApiProperty({ type: ThresholdsView })
  thresholds!: Plain<ThresholdsView>;
}

/** A quota as it is set, with what is used of it. */
export class QuotaView {
  @ApiProperty({ example: 'starter' })
  tenantId!: string;

  @ApiProperty({ example: 100 })
  quotaMb!: number;

  @ApiProperty()
  overageAllowed!: boolean;

  @ApiProperty({ example: 10 })
  overageLimitMb!: number;

  @ApiProperty({
    enum: PLAN_NAMES,
    nullable: true,
    description: 'The plan with exactly these limits, worked out and not kept; null: none',
  })
  plan!: PlanName | null;

  @ApiProperty({ enum: MODES, nullable: true, description: 'null follows the rollout' })
  mode!: QuotaMode | null;

  @ApiProperty({ description: 'For optimistic locking', example: 1 })
  version!: number;

  @ApiProperty({ type: UsageView, nullable: true, description: 'null: the ledger did not answer' })
  usage!: Plain<UsageView> | null;

  @ApiProperty({
    description: 'Used when it was last synchronised, which is what filters go by',
    example: 31_457_280,
  })
  syncedUsedBytes!: number;

  @ApiProperty({ format: 'date-time' })
  createdAt!: string;

  @ApiProperty({ format: 'date-time' })
  updatedAt!: string;
}

export class QuotaPageView {
  @ApiProperty({ type: [QuotaView] })
  items!: Plain<QuotaView>[];

  @ApiProperty({ type: String, nullable: true, description: 'To go on: ?after=…; null at the end' })
  next!: string | null;
}

export class EvictionView {
  @ApiProperty({ description: 'Entries removed', example: 1_000 })
  evicted!: number;

  @ApiProperty({ description: 'Bytes that the usage fell by', example: 31_457_280 })
  freedBytes!: number;

  @ApiProperty({ description: 'Used afterwards', example: 0 })
  usedBytes!: number;

  @ApiProperty({ description: 'false: there is more to remove; call again with `resume`' })
  done!: boolean;

  @ApiProperty({ type: String, nullable: true, description: 'null: it is done' })
  resume!: string | null;
}

export class ReconcileView {
  @ApiProperty({ example: 'starter' })
  tenantId!: string;

  @ApiProperty({ description: 'Used before minus used after, signed', example: 0 })
  driftBytes!: number;

  @ApiProperty({ description: 'Entries corrected against the storage', example: 0 })
  corrected!: number;

  @ApiProperty({ example: 31_457_280 })
  usedBytes!: number;
}

export function standingView(status: QuotaStatus): Plain<StandingView> {
  const { quotaBytes, hardBytes, usedBytes: used } = status;
  return {
    tenantId: status.tenant,
    mode: status.mode,
    decision: status.decision,
    origin: status.origin,
    quotaMb: bytesToMb(quotaBytes),
    quotaBytes,
    overageAllowed: status.overageAllowed,
    overageLimitMb: bytesToMb(status.overageBytes),
    ...usageAnswer(status),
    remainingBytes: Math.max(0, quotaBytes - used),
    percent: percentOf(used, quotaBytes),
    thresholds: { warnAboveBytes: quotaBytes, rejectAboveBytes: hardBytes },
  };
}

/** With two decimals at most. */
export function percentOf(used: number, quotaBytes: number): number {
  return Number(((used / quotaBytes) * 100).toFixed(2));
}
