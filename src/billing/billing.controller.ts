import { Controller, Get, Header, Query, StreamableFile, UseGuards } from '@nestjs/common';
import {
  csvReport,
  jsonPage,
  UsageLog,
  usageReport,
  type CacheMetricsRecord,
  type Report,
  type UsageCursor,
} from '@app/quota';
import type { Plain } from '../http/openapi';
import { ApiAdmin } from '../quotas/admin.openapi';
import { AdminGuard } from '../tenancy/identity.guards';
import { ApiReportsCacheMetrics, ApiReportsUsage } from './billing.openapi';
import { parseMetricsQuery, parseUsageQuery, type ReportQuery } from './report.query';
import {
  cacheMetricsView,
  type CacheMetricsPageView,
  type CacheMetricsView,
  type UsagePageView,
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
    const report = usageReport(this.log, query.by);
    return query.format === 'csv'
      ? csvFile(`usage-by-${query.by}`, report, query)
      : jsonPage(report, query);
  }

  @Get('cache-metrics')
  @Header('Cache-Control', 'no-store')
  @ApiReportsCacheMetrics()
  async cacheMetrics(
    @Query() given: unknown,
  ): Promise<Plain<CacheMetricsPageView> | StreamableFile> {
    const query = parseMetricsQuery(given);
    const report = this.metrics();
    return query.format === 'csv'
      ? csvFile('cache-metrics', report, query)
      : jsonPage(report, query);
  }

  private metrics(): Report<CacheMetricsRecord, Plain<CacheMetricsView>> {
    return {
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

/** All of it as a file. Should a page fail on the way the connection is cut. */
async function csvFile<Row extends UsageCursor, View>(
  name: string,
  report: Report<Row, View>,
  query: ReportQuery,
): Promise<StreamableFile> {
  return new StreamableFile(await csvReport(report, query), {
    type: 'text/csv; charset=utf-8',
    disposition: `attachment; filename="${name}_${query.range}.csv"`,
  });
}
