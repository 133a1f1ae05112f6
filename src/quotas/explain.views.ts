import { ApiProperty } from '@nestjs/swagger';
import {
  bytesToMb,
  limitsOf,
  PLAN_NAMES,
  planWith,
  usageAnswer,
  usedBytes,
  type ModeExplanation,
  type PlanName,
  type QuotaExplanation,
  type QuotaMode,
  type TenantQuota,
} from '@app/quota';
import type { Plain } from '../http/openapi';
import { MODES, percentOf, ThresholdsView, UsageView } from './quota.views';

const REASONS = [
  ...['kill_switch', 'off', 'tenant_mode', 'named', 'log_only'],
  ...['everyone', 'within_percent', 'beyond_percent'],
];

export class LimitView {
  @ApiProperty({ example: 500 })
  quotaMb!: number;

  @ApiProperty({ example: 524_288_000 })
  quotaBytes!: number;

  @ApiProperty()
  overageAllowed!: boolean;

  @ApiProperty({ example: 50 })
  overageLimitMb!: number;

  @ApiProperty({ enum: PLAN_NAMES, nullable: true, description: 'With exactly these limits' })
  plan!: PlanName | null;

  @ApiProperty({ type: ThresholdsView })
  thresholds!: Plain<ThresholdsView>;
}

export class ConfigurationView {
  @ApiProperty({ type: Number, nullable: true, description: 'Of the copy held; null: none' })
  stamp!: number | null;

  @ApiProperty({ type: Number, nullable: true, description: 'Since this instance took the copy' })
  ageSeconds!: number | null;

  @ApiProperty({ description: 'false: loaded anew with the next request' })
  fresh!: boolean;

  @ApiProperty({ type: Number, nullable: true, description: 'Of the table; null: no answer' })
  latestStamp!: number | null;
}

export class ModeExplanationView {
  @ApiProperty({ enum: MODES })
  mode!: QuotaMode;

  @ApiProperty({ enum: REASONS })
  reason!: ModeExplanation['reason'];

  @ApiProperty({ enum: ['environment', 'runtime', 'tenant'], description: 'Where that is set' })
  source!: ModeExplanation['source'];

  @ApiProperty({ description: "The tenant's place in the percentage", example: 49.23 })
  bucket!: number;

  @ApiProperty({ description: 'Enforced where the place is below it', example: 100 })
  percent!: number;
}

/** What the next write would be decided by, and why. */
export class ExplanationView {
  @ApiProperty({ example: 'pro' })
  tenantId!: string;

  @ApiProperty({
    enum: ['tenant', 'default', 'deny'],
    description: 'A row of its own, the default, or none and so refused',
  })
  origin!: 'tenant' | 'default' | 'deny';

  @ApiProperty({ type: LimitView, nullable: true })
  limit!: Plain<LimitView> | null;

  @ApiProperty({ type: ConfigurationView })
  configuration!: Plain<ConfigurationView>;

  @ApiProperty({ type: UsageView, nullable: true, description: 'null: no store could say' })
  usage!: Plain<UsageView> | null;

  @ApiProperty({ type: Number, nullable: true, description: 'Used of the quota', example: 30 })
  percent!: number | null;

  @ApiProperty({ type: ModeExplanationView })
  mode!: Plain<ModeExplanationView>;

  @ApiProperty({ description: 'Decides while nothing is away', example: 'redis' })
  store!: string;

  @ApiProperty({ description: 'Decides now; budget: this process; nobody: 503', example: 'redis' })
  decides!: string;

  @ApiProperty({
    type: 'object',
    additionalProperties: { type: 'string', enum: ['closed', 'open', 'half-open'] },
    example: { redis: 'closed', postgres: 'closed' },
  })
  breakers!: QuotaExplanation['breakers'];
}

export function explanationView(explained: QuotaExplanation): Plain<ExplanationView> {
  const { tenant: tenantId, quota, copy, latestStamp, usage, mode } = explained;
  const { store, decides, breakers } = explained;
  return {
    tenantId,
    origin: quota?.origin ?? 'deny',
    limit: quota && limitView(quota),
    configuration: {
      stamp: copy?.stamp ?? null,
      ageSeconds: copy && Number((copy.ageMs / 1_000).toFixed(3)),
      fresh: copy?.fresh ?? false,
      latestStamp,
    },
    usage: usage && usageAnswer(usage),
    percent: quota && usage && percentOf(usedBytes(usage), quota.quotaBytes),
    mode: { ...mode },
    ...{ store, decides, breakers },
  };
}

function limitView(quota: TenantQuota): Plain<LimitView> {
  const { quotaBytes, overageAllowed, overageBytes } = quota;
  const limits = {
    quotaMb: bytesToMb(quotaBytes),
    overageAllowed,
    overageLimitMb: bytesToMb(overageBytes),
  };
  return {
    ...limits,
    quotaBytes,
    plan: planWith(limits),
    thresholds: { warnAboveBytes: quotaBytes, rejectAboveBytes: limitsOf(quota).hardBytes },
  };
}
