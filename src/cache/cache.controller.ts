import {
  Controller,
  Delete,
  Get,
  HttpCode,
  Post,
  Put,
  Req,
  Res,
  StreamableFile,
  UseGuards,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import {
  CurrentQuota,
  EnforceCacheQuota,
  mbToBytes,
  QuotaContext,
  readBody,
  type QuotaRequest,
} from '@app/quota';
import { InjectSettings } from '../config/settings.module';
import type { Settings } from '../config/settings.schema';
import type { Plain } from '../http/openapi';
import { ProblemException } from '../http/problem';
import { CurrentTenant, TenantGuard } from '../tenancy/identity.guards';
import { CacheMeter } from './cache-meter.guard';
import { CacheContentType, CacheKey, cacheKey, CacheTtl, cacheTtl } from './cache-request';
import { CacheStore } from './cache-store';
import {
  ApiCache,
  ApiReadsValue,
  ApiRemovesValue,
  ApiStoresValue,
  type StoredView,
} from './cache.openapi';
import { QuotaStanding } from './quota-standing';

/** Either framework's response, as far as it is used here. */
interface Response {
  status(code: number): unknown;
}

/**
 * What a stored value may do in a browser: nothing. It is shown as what it was stored as, never
 * sniffed for another type, runs no script of its own, and no shared cache keeps it for others.
 */
const SAFE_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy': "default-src 'none'; sandbox",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

/** The cache: bytes under keys, within the tenant's quota. */
@ApiCache()
@Controller('cache')
@UseGuards(TenantGuard, CacheMeter)
export class CacheController {
  private readonly maxBytes: number;

  constructor(
    private readonly store: CacheStore,
    private readonly standing: QuotaStanding,
    private readonly adapterHost: HttpAdapterHost,
    @InjectSettings() settings: Settings,
  ) {
    this.maxBytes = mbToBytes(settings.QUOTA_MAX_WRITE_SIZE_MB);
  }

  @Put(':key')
  @EnforceCacheQuota({ key: cacheKey, ttl: cacheTtl })
  @ApiStoresValue()
  async put(
    @CurrentTenant() tenant: string,
    @CacheKey() key: string,
    @CacheTtl() ttlSeconds: number | undefined,
    @CacheContentType() contentType: string,
    @CurrentQuota() quota: QuotaContext | undefined,
    @Req() request: QuotaRequest,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Plain<StoredView>> {
    const body = await readBody(request, { maxBytes: this.maxBytes });
    const write = {
      tenant,
      key,
      body,
      contentType,
      ...(ttlSeconds !== undefined && { ttlSeconds }),
    };
    const { bytes, replaced, expiresAt } = await this.store.put(write, quota);
    response.status(replaced ? 200 : 201);
    return { key, bytes, expiresAt: expiresAt?.toISOString() ?? null };
  }

  @Post(':key')
  @EnforceCacheQuota({ key: cacheKey, ttl: cacheTtl })
  @ApiStoresValue()
  async post(
    @CurrentTenant() tenant: string,
    @CacheKey() key: string,
    @CacheTtl() ttlSeconds: number | undefined,
    @CacheContentType() contentType: string,
    @CurrentQuota() quota: QuotaContext | undefined,
    @Req() request: QuotaRequest,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Plain<StoredView>> {
    return this.put(tenant, key, ttlSeconds, contentType, quota, request, response);
  }

  @Get(':key')
  @ApiReadsValue()
  async get(
    @CurrentTenant() tenant: string,
    @CacheKey() key: string,
    @Res({ passthrough: true }) response: Response,
  ): Promise<StreamableFile> {
    const { value, usage } = await this.store.get(tenant, key);
    this.set(response, {
      ...(await this.standing.headers(tenant, usage)),
      'Cache-Control': 'no-store',
    });
    if (value === null) throw absent();
    this.set(response, SAFE_HEADERS);
    return new StreamableFile(value.body, { type: value.contentType, length: value.body.length });
  }

  @Delete(':key')
  @HttpCode(204)
  @ApiRemovesValue()
  async remove(
    @CurrentTenant() tenant: string,
    @CacheKey() key: string,
    @Res({ passthrough: true }) response: Response,
  ): Promise<void> {
    const { removed, usage } = await this.store.remove(tenant, key);
    this.set(response, await this.standing.headers(tenant, usage));
    if (!removed) throw absent();
  }

  private set(response: Response, headers: Readonly<Record<string, string>>): void {
    for (const [name, value] of Object.entries(headers)) {
      this.adapterHost.httpAdapter.setHeader(response, name, value);
    }
  }
}

function absent(): ProblemException {
  return new ProblemException(
    404,
    'not_found',
    'There is no entry under this key, or it has expired.',
  );
}
