import {
  Module,
  type DynamicModule,
  type FactoryProvider,
  type ModuleMetadata,
  type Provider,
  type Type,
} from '@nestjs/common';
import { InvalidOptionsError } from '../core/errors';
import { QUOTA_OPTIONS, resolveOptions, type QuotaModuleOptions } from './options';
import { quotaExports, quotaProviders } from './providers';

/** A class that makes the options, for `useClass` and `useExisting`. */
export interface QuotaOptionsFactory {
  createQuotaOptions(): QuotaModuleOptions | Promise<QuotaModuleOptions>;
}

/** Options that come out of the container: exactly one of `useFactory`, `useClass`, `useExisting`. */
export interface QuotaModuleAsyncOptions {
  /** True (the default): the decorator works in every module without importing this one there. */
  readonly isGlobal?: boolean;
  readonly imports?: ModuleMetadata['imports'];
  readonly inject?: FactoryProvider['inject'];
  // The parameters are what `inject` names; Nest itself types them so.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly useFactory?: (...args: any[]) => QuotaModuleOptions | Promise<QuotaModuleOptions>;
  readonly useClass?: Type<QuotaOptionsFactory>;
  readonly useExisting?: Type<QuotaOptionsFactory>;
}

/** The storage quota of every tenant. Import it once, at the root. */
@Module({})
export class QuotaModule {
  /** @throws InvalidOptionsError naming each wrong option and what is allowed. */
  static forRoot(options: QuotaModuleOptions & { isGlobal?: boolean } = {}): DynamicModule {
    const { isGlobal, ...rest } = options;
    const resolved = resolveOptions(rest);
    return build([{ provide: QUOTA_OPTIONS, useValue: resolved }], isGlobal);
  }

  /** As {@link forRoot}; a wrong option stops the start of the application. */
  static forRootAsync(options: QuotaModuleAsyncOptions): DynamicModule {
    const module = build(asyncOptions(options), options.isGlobal);
    return { ...module, imports: options.imports ?? [] };
  }
}

function build(options: Provider[], isGlobal = true): DynamicModule {
  return {
    module: QuotaModule,
    global: isGlobal,
    providers: [...options, ...quotaProviders],
    exports: quotaExports,
  };
}

function asyncOptions(options: QuotaModuleAsyncOptions): Provider[] {
  const { useFactory, useClass, useExisting } = options;
  const given = [useFactory, useClass, useExisting].filter((way) => way !== undefined);
  if (given.length !== 1) {
    throw new InvalidOptionsError([
      'forRootAsync: exactly one of useFactory, useClass and useExisting must be given',
    ]);
  }
  if (useFactory !== undefined) {
    const make = async (...args: unknown[]): Promise<unknown> =>
      resolveOptions(await useFactory(...args));
    return [{ provide: QUOTA_OPTIONS, inject: options.inject ?? [], useFactory: make }];
  }
  const token = {
    provide: QUOTA_OPTIONS,
    inject: [useExisting, useClass].filter((factory) => factory !== undefined),
    useFactory: async (maker: QuotaOptionsFactory): Promise<unknown> =>
      resolveOptions(await maker.createQuotaOptions()),
  };
  return useClass === undefined ? [token] : [useClass, token];
}
