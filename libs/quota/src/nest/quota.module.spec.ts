import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { MemoryQuotaStore } from '../adapters/memory/memory-quota-store';
import { MemoryUsageTracker } from '../adapters/memory/memory-usage-tracker';
import { InvalidOptionsError } from '../core/errors';
import { QuotaChecker } from '../core/quota-checker';
import { QuotaStore } from '../core/quota-store';
import { Reconciler } from '../core/reconciler';
import { UsageTracker } from '../core/usage-tracker';
import { QUOTA_OPTIONS, resolveOptions, type QuotaModuleOptions } from './options';
import { QuotaHealthIndicator } from './quota.health';
import {
  QuotaModule,
  type QuotaModuleAsyncOptions,
  type QuotaOptionsFactory,
} from './quota.module';

@Injectable()
class Factory implements QuotaOptionsFactory {
  createQuotaOptions(): QuotaModuleOptions {
    return { defaultQuotaMb: 3 };
  }
}

@Module({ providers: [Factory], exports: [Factory] })
class FactoryModule {}

async function defaultQuota(options: QuotaModuleAsyncOptions): Promise<number> {
  const module = await Test.createTestingModule({
    imports: [QuotaModule.forRootAsync(options)],
  }).compile();
  const status = await module.get(QuotaChecker).status('acme');
  await module.close();
  return status.quotaBytes / 1_048_576;
}

describe('QuotaModule', () => {
  it('takes options from a factory, a class and an existing provider', async () => {
    expect(await defaultQuota({ useFactory: () => ({ defaultQuotaMb: 2 }) })).toBe(2);
    expect(await defaultQuota({ useClass: Factory })).toBe(3);
    expect(await defaultQuota({ imports: [FactoryModule], useExisting: Factory })).toBe(3);
    const inject = { imports: [FactoryModule], inject: [Factory] };
    const useFactory = async (factory: Factory): Promise<QuotaModuleOptions> =>
      factory.createQuotaOptions();
    expect(await defaultQuota({ ...inject, useFactory })).toBe(3);
  });

  it('wants exactly one of them', () => {
    expect(() => QuotaModule.forRootAsync({})).toThrow(InvalidOptionsError);
    const both = { useClass: Factory, useFactory: () => ({}) };
    expect(() => QuotaModule.forRootAsync(both)).toThrow(/exactly one/);
  });

  it('is global unless told otherwise', () => {
    expect(QuotaModule.forRoot().global).toBe(true);
    expect(QuotaModule.forRoot({ isGlobal: false }).global).toBe(false);
    expect(QuotaModule.forRootAsync({ isGlobal: false, useClass: Factory }).global).toBe(false);
  });

  it('takes a tracker and a store of the user', async () => {
    const tracker = new MemoryUsageTracker();
    const store = new MemoryQuotaStore();
    await store.change('acme', { quotaMb: 9 }, { actor: 'test' });
    const module = await Test.createTestingModule({
      imports: [QuotaModule.forRoot({ tracker, store })],
    }).compile();
    expect(module.get(UsageTracker)).toBe(tracker);
    expect(module.get(QuotaStore)).toBe(store);
    expect((await module.get(QuotaChecker).status('acme')).quotaBytes).toBe(9 * 1_048_576);
  });

  it('names every wrong option and what is allowed, and stops the start', async () => {
    const wrong = {
      rolloutPercent: 101,
      defaultQuotaMb: 0,
      unknownTenant: 'maybe',
      excludedPaths: ['health'],
      rolloutTenants: ['{}'],
      tenant: 'acme',
      redis: 5,
      misspelt: true,
    } as unknown as QuotaModuleOptions;
    expect(() => QuotaModule.forRoot(wrong)).toThrow(InvalidOptionsError);
    const problems = ((): readonly string[] => {
      try {
        resolveOptions(wrong);
        return [];
      } catch (error) {
        return (error as InvalidOptionsError).problems;
      }
    })();
    for (const name of ['rolloutPercent', 'defaultQuotaMb', 'unknownTenant', 'excludedPaths.0']) {
      expect(problems).toContainEqual(expect.stringMatching(new RegExp(`^${name}: .+`)));
    }
    for (const name of ['rolloutTenants.0', 'tenant', 'redis']) {
      expect(problems).toContainEqual(expect.stringMatching(new RegExp(`^${name}: .+`)));
    }
    expect(problems.join('\n')).toContain('misspelt');
    const starting = Test.createTestingModule({
      imports: [QuotaModule.forRootAsync({ useFactory: () => wrong })],
    }).compile();
    await expect(starting).rejects.toThrow(/rolloutPercent/);
  });

  it('has the defaults of the contract', () => {
    expect(resolveOptions()).toMatchObject({
      enabled: true,
      logOnly: false,
      rolloutPercent: 100,
      quotaCacheTtlSeconds: 300,
      maxWriteBytes: 100 * 1_048_576,
      defaultQuotaMb: 100,
      unknownTenant: 'default',
      excludedPaths: ['/health', '/metrics', '/docs', '/openapi.json'],
      reservationTtlSeconds: 60,
    });
  });

  it('tells whether its stores can be read', async () => {
    const tracker = new MemoryUsageTracker();
    const module = await Test.createTestingModule({
      imports: [QuotaModule.forRoot({ tracker })],
    }).compile();
    expect(module.get<unknown>(QUOTA_OPTIONS)).toMatchObject({ enabled: true });
    const health = module.get(QuotaHealthIndicator);
    expect(await health.isHealthy()).toEqual({
      quota: {
        ...{ status: 'up', store: 'memory', decides: 'memory', usage: 'up', quotas: 'up' },
        ...{ breakers: {}, journal: null, lastReconcile: null },
      },
    });
    await module.get(Reconciler).reconcile('acme');
    expect(await health.isHealthy()).toMatchObject({
      quota: { lastReconcile: { at: expect.stringMatching(/^\d{4}-.*Z$/), driftBytes: 0 } },
    });
    jest.spyOn(tracker, 'read').mockRejectedValue(new Error('away'));
    expect(await health.isHealthy('q')).toMatchObject({ q: { status: 'down', usage: 'down' } });
  });
});
