import { ApiProperty } from '@nestjs/swagger';
import type { QuotaMode, RolloutSource } from '@app/quota';
import type { Plain } from '../http/openapi';

const SOURCES = ['environment', 'runtime'];
const ABSENT = 'null: the environment says';

/** Where each value comes from. */
export class RolloutSourcesView {
  @ApiProperty({ enum: SOURCES })
  enabled!: RolloutSource;

  @ApiProperty({ enum: SOURCES })
  logOnly!: RolloutSource;

  @ApiProperty({ enum: SOURCES })
  percent!: RolloutSource;

  @ApiProperty({ enum: SOURCES })
  tenants!: RolloutSource;
}

/** The rollout in force. */
export class RolloutView {
  @ApiProperty({ description: 'False: off for everyone' })
  enabled!: boolean;

  @ApiProperty({ description: 'True: shadow for all that are not named or have their own mode' })
  logOnly!: boolean;

  @ApiProperty({ description: 'Share of tenants that is enforced', example: 10 })
  percent!: number;

  @ApiProperty({ type: [String], description: 'Always enforced' })
  tenants!: string[];

  @ApiProperty({
    enum: ['off', 'shadow', 'enforce'],
    description: 'Of the tenants at the first place of the percentage',
  })
  mode!: QuotaMode;

  @ApiProperty({ type: RolloutSourcesView })
  sources!: Plain<RolloutSourcesView>;

  @ApiProperty({ description: 'The environment says off, and that cannot be changed here' })
  killSwitch!: boolean;

  @ApiProperty({ description: 'Rises with every change; 0: never set at run time', example: 3 })
  version!: number;

  @ApiProperty({ type: String, nullable: true, example: 'admin' })
  changedBy!: string | null;

  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  changedAt!: string | null;

  @ApiProperty({ description: 'False: the table did not answer; this instance goes on with these' })
  confirmed!: boolean;
}

/** What was set at run time. */
export class RolloutValuesView {
  @ApiProperty({ type: Boolean, nullable: true, description: ABSENT })
  enabled!: boolean | null;

  @ApiProperty({ type: Boolean, nullable: true, description: ABSENT })
  logOnly!: boolean | null;

  @ApiProperty({ type: Number, nullable: true, description: ABSENT })
  percent!: number | null;

  @ApiProperty({ type: [String], nullable: true, description: ABSENT })
  tenants!: string[] | null;
}

export class RolloutChangeView {
  @ApiProperty({ example: 3 })
  version!: number;

  @ApiProperty({ example: 'admin' })
  changedBy!: string;

  @ApiProperty({ format: 'date-time' })
  changedAt!: string;

  @ApiProperty({ type: RolloutValuesView })
  before!: Plain<RolloutValuesView>;

  @ApiProperty({ type: RolloutValuesView })
  after!: Plain<RolloutValuesView>;
}

export class RolloutHistoryView {
  @ApiProperty({ type: [RolloutChangeView], description: 'The latest first' })
  items!: Plain<RolloutChangeView>[];

  @ApiProperty({ type: Number, nullable: true, description: 'To go on: ?before=…; null: the end' })
  next!: number | null;
}

/** What a stretch of time in the record holds, and what is missing there. */
export class CoverageView {
  @ApiProperty({ format: 'date-time' })
  since!: string;

  @ApiProperty({ format: 'date-time' })
  until!: string;

  @ApiProperty({ description: 'Writes recorded', example: 1200 })
  writes!: number;

  @ApiProperty({ description: 'Writes that were not recorded, as far as is known', example: 0 })
  missedWrites!: number;

  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  oldestAt!: string | null;

  @ApiProperty({ description: 'There were older rows in this time, and they have gone' })
  olderDropped!: boolean;
}

export class ImpactSummaryView {
  @ApiProperty({ description: 'Tenants that wrote', example: 40 })
  tenants!: number;

  @ApiProperty({ description: 'Those with refusals, real or in shadow', example: 2 })
  refusedTenants!: number;

  @ApiProperty({ description: 'In percent of those that wrote', example: 5 })
  refusedTenantsPercent!: number;

  @ApiProperty({ example: 1200 })
  writes!: number;

  @ApiProperty({ example: 6 })
  refusedWrites!: number;

  @ApiProperty({ example: 0.5 })
  refusedWritesPercent!: number;

  @ApiProperty({ example: 62_914_560 })
  refusedBytes!: number;
}

export class TenantImpactView {
  @ApiProperty({ example: 'acme' })
  tenantId!: string;

  @ApiProperty({ description: 'Writes of its that were recorded', example: 31 })
  writes!: number;

  @ApiProperty({ description: 'Writes in shadow that would have been refused', example: 3 })
  wouldHaveRefused!: number;

  @ApiProperty({ description: 'Writes that were refused', example: 0 })
  refused!: number;

  @ApiProperty({ description: 'Sizes of both together', example: 31_457_280 })
  refusedBytes!: number;

  @ApiProperty({ description: 'How far the furthest was beyond the limit', example: 10_485_760 })
  furthestBeyondBytes!: number;

  @ApiProperty({ format: 'date-time' })
  firstAt!: string;

  @ApiProperty({ format: 'date-time' })
  lastAt!: string;
}

export class ImpactView {
  @ApiProperty({ type: CoverageView })
  record!: Plain<CoverageView>;

  @ApiProperty({ type: ImpactSummaryView })
  summary!: Plain<ImpactSummaryView>;

  @ApiProperty({ type: [TenantImpactView], description: 'In the order of their ids' })
  items!: Plain<TenantImpactView>[];

  @ApiProperty({ type: String, nullable: true, description: 'To go on: ?after=…; null: the end' })
  next!: string | null;
}
