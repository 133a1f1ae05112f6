import { ApiProperty } from '@nestjs/swagger';
import type { Plain } from '../http/openapi';
import { CoverageView } from './rollout.views';

/** The limit that the writes were held against. */
export class ProposalView {
  @ApiProperty({
    type: Number,
    nullable: true,
    description: "null: each write's limit of that time",
  })
  limitMb!: number | null;

  @ApiProperty({ type: Number, nullable: true })
  overageMb!: number | null;

  @ApiProperty({ description: 'Share of tenants that is enforced', example: 100 })
  percent!: number;
}

/** A write that would have been refused. */
export class SimulatedRefusalView {
  @ApiProperty({ format: 'date-time' })
  at!: string;

  @ApiProperty({ example: 10_485_760 })
  bytes!: number;

  @ApiProperty({
    type: Number,
    nullable: true,
    description: 'Used then, under the proposed limit; null: refused for its size alone',
  })
  usedBytes!: number | null;

  @ApiProperty({ description: 'How far it would have gone beyond the limit', example: 5_242_880 })
  beyondBytes!: number;
}

export class SimulatedTenantView {
  @ApiProperty({ example: 'acme' })
  tenantId!: string;

  @ApiProperty({ description: 'Writes of its that were replayed', example: 31 })
  writes!: number;

  @ApiProperty({ example: 3 })
  refusals!: number;

  @ApiProperty({ example: 31_457_280 })
  refusedBytes!: number;

  @ApiProperty({ example: 10_485_760 })
  furthestBeyondBytes!: number;

  @ApiProperty({ format: 'date-time' })
  firstAt!: string;

  @ApiProperty({ format: 'date-time' })
  lastAt!: string;

  @ApiProperty({ type: [SimulatedRefusalView], description: 'The first 10; of one tenant 100' })
  first!: Plain<SimulatedRefusalView>[];
}

export class SimulationSummaryView {
  @ApiProperty({ description: 'Rows of the record that were looked at', example: 1200 })
  rows!: number;

  @ApiProperty({ example: 40 })
  tenants!: number;

  @ApiProperty({ description: 'Those that the percentage enforces', example: 40 })
  enforcedTenants!: number;

  @ApiProperty({ example: 2 })
  refusedTenants!: number;

  @ApiProperty({ example: 6 })
  refusals!: number;

  @ApiProperty({ example: 62_914_560 })
  refusedBytes!: number;
}

export class SimulationView {
  @ApiProperty({ type: ProposalView })
  proposal!: Plain<ProposalView>;

  @ApiProperty({ type: CoverageView })
  record!: Plain<CoverageView>;

  @ApiProperty({ type: SimulationSummaryView })
  summary!: Plain<SimulationSummaryView>;

  @ApiProperty({ type: [SimulatedTenantView], description: 'Those with the most refused bytes' })
  items!: Plain<SimulatedTenantView>[];

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'It came to its bound of rows or time. To go on: ?after=…; null: it saw all',
  })
  next!: string | null;
}
