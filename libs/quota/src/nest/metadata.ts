import type { ExecutionContext } from '@nestjs/common';
import type { KeyResolver, SizeResolver, TenantResolver, TtlResolver } from './resolvers';

export const ENFORCE_OPTIONS = Symbol('quota:enforce');
export const SKIP_QUOTA = Symbol('quota:skip');

/** How one route names its write; what is absent comes from the module's options. */
export interface EnforceCacheQuotaOptions {
  readonly tenant?: TenantResolver;
  readonly size?: SizeResolver;
  readonly key?: KeyResolver;
  readonly ttl?: TtlResolver;
  /**
   * Undoes what the handler stored, when its commit was answered that the write no longer fits or
   * the tenant is gone. Without it, what the handler stored stays, uncounted, until a reconciliation.
   */
  readonly undo?: (context: ExecutionContext) => Promise<void>;
}
