import { ApiProperty, PickType } from '@nestjs/swagger';
import type { QuotaChangeRecord } from '@app/quota';
import type { Plain } from '../http/openapi';
import { QuotaView } from './quota.views';

/** What is set of a quota. */
const SETTINGS = ['quotaMb', 'overageAllowed', 'overageLimitMb', 'mode', 'version'] as const;

export class QuotaSettingsView extends PickType(QuotaView, SETTINGS) {}

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
