import { ApiProperty } from '@nestjs/swagger';
import type { QuotaChangeRecord, QuotaMode } from '@app/quota';
import type { Plain } from '../http/openapi';
import { MODES } from './quota.views';

export class QuotaSettingsView {
  @ApiProperty({ example: 100 })
  quotaMb!: number;

  @ApiProperty()
  overageAllowed!: boolean;

  @ApiProperty({ example: 10 })
  overageLimitMb!: number;

  @ApiProperty({ enum: MODES, nullable: true })
  mode!: QuotaMode | null;

  @ApiProperty({ example: 1 })
  version!: number;
}

export class QuotaChangeView {
  @ApiProperty({ description: 'Rises with each change of the tenant', example: 17 })
  stamp!: number;

  @ApiProperty({ enum: ['create', 'update', 'delete'] })
  action!: QuotaChangeRecord['action'];

  @ApiProperty({ example: 'admin' })
  changedBy!: string;

  @ApiProperty({ format: 'date-time' })
  changedAt!: string;

  @ApiProperty({ type: QuotaSettingsView, nullable: true, description: 'null: there was none' })
  before!: Plain<QuotaSettingsView> | null;

  @ApiProperty({ type: QuotaSettingsView, nullable: true, description: 'null: it was deleted' })
  after!: Plain<QuotaSettingsView> | null;
}

export class QuotaChangesView {
  @ApiProperty({ type: [QuotaChangeView] })
  items!: Plain<QuotaChangeView>[];

  @ApiProperty({
    type: Number,
    nullable: true,
    description: 'To go on: ?before=…; null at the end',
  })
  next!: number | null;
}

export function quotaChangeView(record: QuotaChangeRecord): Plain<QuotaChangeView> {
  const { stamp, action, actor, before, after, changedAt } = record;
  return { stamp, action, changedBy: actor, changedAt: changedAt.toISOString(), before, after };
}
