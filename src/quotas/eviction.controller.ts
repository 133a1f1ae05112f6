import { Controller, Get, HttpCode, Param, Post, Query, UseGuards } from '@nestjs/common';
import { mbToBytes, parseTenantId, QuotaCacheService, UnknownTenantError } from '@app/quota';
import { Eviction } from '../cache/eviction';
import { EvictionTrail } from '../cache/eviction-trail';
import { JsonBody } from '../http/json-body';
import type { Plain } from '../http/openapi';
import { ProblemException } from '../http/problem';
import { AdminGuard, CurrentActor } from '../tenancy/identity.guards';
import { ApiAdmin, ApiEvicts, ApiListsEvictions } from './admin.openapi';
import { evictionBody, targetOf, type EvictionBody } from './eviction.schema';
import { evictionRecordView, type EvictionsView } from './eviction.views';
import { parseQuery } from './query';
import { changesQuery } from './quota.schema';
import type { EvictionView } from './quota.views';

/** Makes room in what a tenant has stored; for operators. */
@ApiAdmin()
@Controller('admin/quotas')
@UseGuards(AdminGuard)
export class EvictionController {
  constructor(
    private readonly eviction: Eviction,
    private readonly trail: EvictionTrail,
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
    const { reason = null, resume } = body;
    const order = { tenant, actor, reason, target: targetOf(body) };
    return this.eviction.run(order, await this.targetBytes(tenant, body), resume);
  }

  @Get(':tenantId/evictions')
  @ApiListsEvictions()
  async evictions(
    @Param('tenantId') tenant: string,
    @Query() query: unknown,
  ): Promise<Plain<EvictionsView>> {
    const { limit, before } = parseQuery(changesQuery, query);
    const { evictions, next } = await this.trail.list(parseTenantId(tenant), { limit, before });
    return { items: evictions.map(evictionRecordView), next };
  }

  /** Null: nothing is to be left. */
  private async targetBytes(tenant: string, body: EvictionBody): Promise<number | null> {
    const { targetMb, targetPercent } = body;
    if (targetMb !== undefined) return mbToBytes(targetMb);
    if (targetPercent === undefined) return null;
    return Math.floor((await this.quotaBytes(tenant)) * (targetPercent / 100));
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
