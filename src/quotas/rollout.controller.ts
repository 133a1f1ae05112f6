import {
  Controller,
  Delete,
  Get,
  Headers,
  Inject,
  Put,
  Query,
  Res,
  UseGuards,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import {
  DecisionStore,
  impactAnswer,
  QUOTA_OPTIONS,
  RolloutAdmin,
  rolloutAnswer,
  rolloutChangeAnswer,
  type ResolvedQuotaOptions,
  type RolloutChangeOptions,
  type RolloutReport,
} from '@app/quota';
import { JsonBody } from '../http/json-body';
import type { Plain } from '../http/openapi';
import { versionOf } from '../http/version';
import { AdminGuard, CurrentActor } from '../tenancy/identity.guards';
import { ApiAdmin } from './admin.openapi';
import {
  ApiChangesRollout,
  ApiListsRolloutChanges,
  ApiReadsRollout,
  ApiResetsRollout,
  ApiShowsImpact,
} from './rollout.openapi';
import { parseQuery } from './query';
import { historyQuery, impactQuery, rolloutBody, type RolloutBody } from './rollout.schema';
import type { ImpactView, RolloutHistoryView, RolloutView } from './rollout.views';

/** Who is enforced, who is only watched, and what the one would mean for the other; for operators. */
@ApiAdmin()
@Controller('admin/rollout')
@UseGuards(AdminGuard)
export class RolloutController {
  constructor(
    private readonly rollout: RolloutAdmin,
    private readonly decisions: DecisionStore,
    private readonly adapterHost: HttpAdapterHost,
    @Inject(QUOTA_OPTIONS) private readonly options: ResolvedQuotaOptions,
  ) {}

  @Get()
  @ApiReadsRollout()
  async get(@Res({ passthrough: true }) response: object): Promise<Plain<RolloutView>> {
    return this.answer(response, await this.rollout.report());
  }

  @Put()
  @ApiChangesRollout()
  async set(
    @JsonBody(rolloutBody) body: RolloutBody,
    @CurrentActor() actor: string,
    @Headers('if-match') ifMatch: string | undefined,
    @Res({ passthrough: true }) response: object,
  ): Promise<Plain<RolloutView>> {
    const { version, ...patch } = body;
    const options = change(actor, ifMatch, version);
    return this.answer(response, await this.rollout.change(patch, options));
  }

  @Delete()
  @ApiResetsRollout()
  async reset(
    @CurrentActor() actor: string,
    @Headers('if-match') ifMatch: string | undefined,
    @Res({ passthrough: true }) response: object,
  ): Promise<Plain<RolloutView>> {
    return this.answer(response, await this.rollout.reset(change(actor, ifMatch)));
  }

  @Get('history')
  @ApiListsRolloutChanges()
  async history(@Query() query: unknown): Promise<Plain<RolloutHistoryView>> {
    const { limit, before } = parseQuery(historyQuery, query);
    const asked = { limit, ...(before !== undefined && { before }) };
    const { changes, next } = await this.rollout.history(asked);
    return { items: changes.map(rolloutChangeAnswer), next };
  }

  @Get('impact')
  @ApiShowsImpact()
  async impact(@Query() query: unknown): Promise<Plain<ImpactView>> {
    const { since: from, after = '', limit } = parseQuery(impactQuery, query);
    const span = { from, to: Date.now() };
    const coverage = await this.decisions.coverage(span);
    const { tenants, next } = await this.decisions.impact({ span, after, limit });
    const reach = span.to - this.options.decisionsMaxAgeHours * 3_600_000;
    return impactAnswer({ coverage, tenants, next }, span, reach);
  }

  private answer(response: object, report: RolloutReport): Plain<RolloutView> {
    this.adapterHost.httpAdapter.setHeader(response, 'ETag', `"${report.version}"`);
    return rolloutAnswer(report);
  }
}

function change(
  actor: string,
  ifMatch: string | undefined,
  version?: number,
): RolloutChangeOptions {
  const expectedVersion = versionOf(ifMatch, version);
  return { actor, ...(expectedVersion !== undefined && { expectedVersion }) };
}
