import type { UsageLog, UsagePeriod, UsageRecord } from '../usage-log';
import { formatPeriod } from './period';
import type { Report } from './report';

/** A tenant's usage in one period, as reports say it. */
export interface UsageReportRow {
  tenantId: string;
  period: string;
  /** Bytes held times seconds; text, since it may be beyond 2^53. */
  byteSeconds: string;
  /** The same in hours, rounded. */
  byteHours: string;
  estimatedSeconds: number;
  peakBytes: number;
  writes: number;
  refusals: number;
  shadowRefusals: number;
  warnings: number;
}

/** Usage over time, for bills. */
export function usageReport(log: UsageLog, by: UsagePeriod): Report<UsageRecord, UsageReportRow> {
  return {
    read: (query) => log.usage(query),
    view: (record) => rowOf(by, record),
    columns: {
      tenant_id: 'tenantId',
      period: 'period',
      byte_seconds: 'byteSeconds',
      byte_hours: 'byteHours',
      estimated_seconds: 'estimatedSeconds',
      peak_bytes: 'peakBytes',
      writes: 'writes',
      refusals: 'refusals',
      shadow_refusals: 'shadowRefusals',
      warnings: 'warnings',
    },
  };
}

function rowOf(by: UsagePeriod, record: UsageRecord): UsageReportRow {
  const { byteSeconds } = record;
  return {
    tenantId: record.tenant,
    period: formatPeriod(by, record.start),
    byteSeconds: String(byteSeconds),
    byteHours: String((byteSeconds + 1_800n) / 3_600n),
    estimatedSeconds: record.estimatedSeconds,
    peakBytes: record.peakBytes,
    writes: record.writes,
    refusals: record.refusals,
    shadowRefusals: record.shadowRefusals,
    warnings: record.warnings,
  };
}
