import { Controller, Get, Header, Query, UseGuards, type StreamableFile } from '@nestjs/common';
import { UsageLog, type CacheMetricsRecord, type UsagePeriod, type UsageRecord } from '@app/quota';
import type { Plain } from '../http/openapi';
import { ApiAdmin } from '../quotas/admin.openapi';
import { AdminGuard } from '../tenancy/identity.guards';
import { ApiReportsCacheMetrics, ApiReportsUsage } from './billing.openapi';
import { csvReport, jsonPage, type Report } from './report';
import { parseMetricsQuery, parseUsageQuery } from './report.query';
import {
  cacheMetricsView,
  usageView,
  type CacheMetricsPageView,
  type CacheMetricsView,
  type UsagePageView,
  type UsageView,
} from './report.views';

/** Usage over time, for bills and reports. */
@ApiAdmin()
@Controller('admin')
@UseGuards(AdminGuard)
export class BillingController {
  constructor(private readonly log: UsageLog) {}

  @Get('usage')
  @Header('Cache-Control', 'no-store')
  @ApiReportsUsage()
  async usage(@Query() given: unknown): Promise<Plain<UsagePageView> | StreamableFile> {
    const query = parseUsageQuery(given);
    const report = this.usageBy(query.by);
    return query.format === 'csv' ? csvReport(report, query) : jsonPage(report, query);
  }

  @Get('cache-metrics')
  @Header('Cache-Control', 'no-store')
  @ApiReportsCacheMetrics()
  async cacheMetrics(
    @Query() given: unknown,
  ): Promise<Plain<CacheMetricsPageView> | StreamableFile> {
    const query = parseMetricsQuery(given);
    const report = this.metrics();
    return query.format === 'csv' ? csvReport(report, query) : jsonPage(report, query);
  }

  private usageBy(by: UsagePeriod): Report<UsageRecord, Plain<UsageView>> {
    return {
      name: `usage-by-${by}`,
      read: (query) => this.log.usage(query),
      view: (record) => usageView(by, record),
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

  private metrics(): Report<CacheMetricsRecord, Plain<CacheMetricsView>> {
    return {
      name: 'cache-metrics',
      read: (query) => this.log.cacheMetrics(query),
      view: cacheMetricsView,
      columns: {
        tenant_id: 'tenantId',
        date: 'date',
        total_requests: 'totalRequests',
        cache_hits: 'cacheHits',
        cache_misses: 'cacheMisses',
        hit_rate: 'hitRate',
        total_bytes_served: 'totalBytesServed',
        avg_response_time_ms: 'avgResponseTimeMs',
      },
    };
  }
}
