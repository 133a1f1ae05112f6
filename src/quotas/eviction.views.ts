import { ApiProperty } from '@nestjs/swagger';
import type { EvictionRecord, EvictionTarget } from '../cache/eviction-trail';
import type { Plain } from '../http/openapi';

/** An eviction as a whole, in however many calls. */
export class EvictionRecordView {
  @ApiProperty({ example: 7 })
  id!: number;

  @ApiProperty({ example: 'admin' })
  actor!: string;

  @ApiProperty({ type: String, nullable: true, example: 'disk full, ticket 4711' })
  reason!: string | null;

  @ApiProperty({
    type: 'object',
    additionalProperties: true,
    description: 'all, targetMb or targetPercent, as it was asked for',
    example: { targetPercent: 80 },
  })
  target!: EvictionTarget;

  @ApiProperty({ description: 'Used when it began', example: 104_857_600 })
  usedBeforeBytes!: number;

  @ApiProperty({ description: 'Used when it was last heard of', example: 83_886_080 })
  usedAfterBytes!: number;

  @ApiProperty({ description: 'Entries removed', example: 120 })
  evicted!: number;

  @ApiProperty({ example: 20_971_520 })
  freedBytes!: number;

  @ApiProperty({ description: 'false: it goes on, or nobody went on with it' })
  done!: boolean;

  @ApiProperty({ format: 'date-time' })
  beganAt!: string;

  @ApiProperty({ format: 'date-time' })
  changedAt!: string;
}

export class EvictionsView {
  @ApiProperty({ type: [EvictionRecordView], description: 'The latest first' })
  items!: Plain<EvictionRecordView>[];

  @ApiProperty({ type: Number, nullable: true, description: 'To go on: ?before=…; null: the end' })
  next!: number | null;
}

export function evictionRecordView(record: EvictionRecord): Plain<EvictionRecordView> {
  const { id, actor, reason, target, evicted, freedBytes, done } = record;
  return {
    ...{ id, actor, reason, target },
    ...{ usedBeforeBytes: record.usedBefore, usedAfterBytes: record.usedAfter },
    ...{ evicted, freedBytes, done },
    beganAt: record.beganAt.toISOString(),
    changedAt: record.changedAt.toISOString(),
  };
}
