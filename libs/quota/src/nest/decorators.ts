import {
  applyDecorators,
  SetMetadata,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { ENFORCE_OPTIONS, SKIP_QUOTA, type EnforceCacheQuotaOptions } from './metadata';
import { quotaApiResponses } from './openapi';
import { QuotaExceptionFilter } from './quota-exception.filter';
import { QuotaGuard } from './quota.guard';
import { QuotaInterceptor } from './quota.interceptor';

/**
 * Holds the tenant to its quota on a method or a whole controller. Brings guard, interceptor,
 * problem documents and, where @nestjs/swagger is installed, the OpenAPI responses with it.
 *
 * Guards run in this order: global, controller, method, and on one method from the lowest decorator
 * up. A guard that verifies who is calling must run first: make it global, put it on the controller,
 * or write its `@UseGuards` below this decorator.
 *
 * @example
 * ```ts
 * \@Put(':key')
 * \@EnforceCacheQuota({ key: keyFromParam('key') })
 * put(@Param('key') key: string, @Body() body: Buffer) { … }
 * ```
 */
export function EnforceCacheQuota(
  options: EnforceCacheQuotaOptions = {},
): ClassDecorator & MethodDecorator {
  return applyDecorators(
    SetMetadata(ENFORCE_OPTIONS, options),
    UseGuards(QuotaGuard),
    UseInterceptors(QuotaInterceptor),
    UseFilters(QuotaExceptionFilter),
    ...quotaApiResponses(),
  );
}

/** Leaves a route out, where its controller or the whole application is guarded. */
export function SkipCacheQuota(): ClassDecorator & MethodDecorator {
  return SetMetadata(SKIP_QUOTA, true);
}
