import { Controller, Get, Inject, Res, UseGuards } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  QUOTA_OPTIONS,
  QuotaChecker,
  quotaHeaders,
  quotaHeaderSchemas,
  type ResolvedQuotaOptions,
} from '@app/quota';
import { ApiProblem, ApiTenantAuth, type Plain } from '../http/openapi';
import { CurrentTenant, TenantGuard } from '../tenancy/identity.guards';
import { standingView, StandingView } from './quota.views';

/** A tenant's own quota. */
@ApiTags('quota')
@Controller('quota')
@UseGuards(TenantGuard)
export class QuotaController {
  constructor(
    private readonly checker: QuotaChecker,
    private readonly adapterHost: HttpAdapterHost,
    @Inject(QUOTA_OPTIONS) private readonly options: ResolvedQuotaOptions,
  ) {}

  @Get()
  @ApiTenantAuth()
  @ApiOperation({ summary: "The caller's quota, usage, reserved bytes, thresholds and mode" })
  @ApiOkResponse({ type: StandingView, headers: quotaHeaderSchemas })
  @ApiProblem(400)
  @ApiProblem(401)
  @ApiProblem(403)
  @ApiProblem(503)
  async own(
    @CurrentTenant() tenant: string,
    @Res({ passthrough: true }) response: object,
  ): Promise<Plain<StandingView>> {
    const status = await this.checker.status(tenant);
    const { mode, decision } = status;
    const headers = {
      'Cache-Control': 'no-store',
      ...quotaHeaders({ mode, decision, numbers: status }, this.options.rateLimitHeaders),
    };
    for (const [name, value] of Object.entries(headers)) {
      this.adapterHost.httpAdapter.setHeader(response, name, value);
    }
    return standingView(status);
  }
}
