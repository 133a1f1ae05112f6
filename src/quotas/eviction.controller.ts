import { Controller, HttpCode, Param, Post, UseGuards } from '@nestjs/common';
import { mbToBytes, parseTenantId, QuotaCacheService, UnknownTenantError } from '@app/quota';
import { Eviction } from '../cache/eviction';
import { JsonBody } from '../http/json-body';
import type { Plain } from '../http/openapi';
import { ProblemException } from '../http/problem';
import { AdminGuard, CurrentActor } from '../tenancy/identity.guards';
import { ApiAdmin, ApiEvicts } from './admin.openapi';
import { evictionBody, type EvictionBody } from './eviction.schema';
import type { EvictionView } from './quota.views';

/** Makes room in what a tenant has stored; for operators. */
@ApiAdmin()
@Controller('admin/quotas')
@UseGuards(AdminGuard)
export class EvictionController {
  constructor(
    private readonly eviction: Eviction,
    private readonly quotas: QuotaCacheService,
  ) {}

  @Post(':tenantId/evict')
  @HttpCode(200)
  @ApiEvicts()
  async evict(
    @Param('tenantId') tenant: string,
    @JsonBody(evictionBody) body: EvictionBody,
    @CurrentActor() actor: string,
  ): Promise<Plain<EvictionView>> {
    parseTenantId(tenant);
    const { targetMb, targetPercent } = body;
    if (targetMb !== undefined) return this.eviction.run(tenant, mbToBytes(targetMb), actor);
    if (targetPercent === undefined) return this.eviction.run(tenant, null, actor);
    const share = (await this.quotaBytes(tenant)) * (targetPercent / 100);
    return this.eviction.run(tenant, Math.floor(share), actor);
  }

  private async quotaBytes(tenant: string): Promise<number> {
    try {
      return (await this.quotas.getQuota(tenant)).quotaBytes;
    } catch (error) {
      if (!(error instanceof UnknownTenantError)) throw error;
      throw new ProblemException(404, 'not_found', 'The tenant has no quota to take a share of.');
    }
  }
}
