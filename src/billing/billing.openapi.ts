import { applyDecorators, type Type } from '@nestjs/common';
import {
  ApiExtraModels,
  ApiOkResponse,
  ApiOperation,
  ApiQuery,
  getSchemaPath,
} from '@nestjs/swagger';
import { DEFAULT_PAGE, MAX_DAYS, MAX_PAGE } from './report.query';
import { CacheMetricsPageView, UsagePageView } from './report.views';

type Decorator = ClassDecorator & MethodDecorator;

const DAY = { type: 'string', format: 'date', example: '2026-11-01' } as const;

const ApiReport = (page: Type): Decorator =>
  applyDecorators(
    ApiExtraModels(page),
    ApiQuery({ name: 'from', schema: DAY, description: 'The first day, UTC' }),
    ApiQuery({
      name: 'to',
      schema: { ...DAY, example: '2026-11-30' },
      description: `The last day, UTC; at most ${MAX_DAYS} days in all`,
    }),
    ApiQuery({ name: 'tenant', required: false, description: 'This tenant alone' }),
    ApiQuery({
      name: 'format',
      required: false,
      schema: { type: 'string', enum: ['json', 'csv'], default: 'json' },
    }),
    ApiQuery({
      name: 'limit',
      required: false,
      schema: { type: 'integer', minimum: 1, maximum: MAX_PAGE, default: DEFAULT_PAGE },
      description: 'Rows of a page; not with CSV, which gives all',
    }),
    ApiQuery({ name: 'after', required: false, description: 'The `next` of the page before' }),
    ApiOkResponse({
      description: 'In the order of tenant ids, and of time within a tenant',
      content: {
        'application/json': { schema: { $ref: getSchemaPath(page) } },
        'text/csv': { schema: { type: 'string' } },
      },
    }),
  );

export const ApiReportsUsage = (): Decorator =>
  applyDecorators(
    ApiOperation({ summary: 'Usage by hour, day or month, for bills' }),
    ApiQuery({
      name: 'by',
      required: false,
      schema: { type: 'string', enum: ['day', 'month', 'hour'], default: 'day' },
    }),
    ApiReport(UsagePageView),
  );

export const ApiReportsCacheMetrics = (): Decorator =>
  applyDecorators(
    ApiOperation({ summary: 'Requests, hits and bytes served by day' }),
    ApiReport(CacheMetricsPageView),
  );
