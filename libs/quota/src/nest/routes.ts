import { Inject, Injectable, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { ENFORCE_OPTIONS, SKIP_QUOTA, type EnforceCacheQuotaOptions } from './metadata';
import { QUOTA_OPTIONS, type ResolvedQuotaOptions } from './options';
import type { SizeResolver } from './resolvers';

/** How a route's writes are named, and whether it is left out. */
export type QuotaRoute = Pick<ResolvedQuotaOptions, 'tenant' | 'key' | 'ttl'> &
  Pick<EnforceCacheQuotaOptions, 'undo'> & {
    readonly size: SizeResolver;
    /** By `@SkipCacheQuota()`. */
    readonly skipped: boolean;
  };

type Handler = ReturnType<ExecutionContext['getHandler']>;
type Controller = ReturnType<ExecutionContext['getClass']>;

/** What the decorators say of each route, with the module's options where they are silent; read once. */
@Injectable()
export class QuotaRoutes {
  private readonly known = new WeakMap<Handler, WeakMap<Controller, QuotaRoute>>();

  constructor(
    private readonly reflector: Reflector,
    @Inject(QUOTA_OPTIONS) private readonly options: ResolvedQuotaOptions,
  ) {}

  of(context: ExecutionContext): QuotaRoute {
    const handler = context.getHandler();
    const controller = context.getClass();
    return this.known.get(handler)?.get(controller) ?? this.read(handler, controller);
  }

  private read(handler: Handler, controller: Controller): QuotaRoute {
    const { reflector } = this;
    const targets = [handler, controller];
    const own = reflector.getAllAndOverride<EnforceCacheQuotaOptions | undefined>(
      ENFORCE_OPTIONS,
      targets,
    );
    const route: QuotaRoute = {
      tenant: own?.tenant ?? this.options.tenant,
      size: own?.size ?? this.options.size,
      key: own?.key ?? this.options.key,
      ttl: own?.ttl ?? this.options.ttl,
      undo: own?.undo,
      skipped: reflector.getAllAndOverride<boolean | undefined>(SKIP_QUOTA, targets) === true,
    };
    // One method may be inherited by several controllers.
    const byController = this.known.get(handler) ?? new WeakMap<Controller, QuotaRoute>();
    this.known.set(handler, byController.set(controller, route));
    return route;
  }
}
