import {
  Controller,
  Delete,
  Get,
  Headers,
  HttpCode,
  Param,
  Post,
  Put,
  Query,
  Res,
  UseGuards,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import {
  QuotaAdmin,
  quotaAnswer,
  QuotaExplainer,
  reconcileAnswer,
  UsageTracker,
  type ChangeOptions,
  type QuotaRow,
  type Usage,
} from '@app/quota';
import { CacheStore } from '../cache/cache-store';
import { ProblemException } from '../http/problem';
import type { Plain } from '../http/openapi';
import { JsonBody } from '../http/json-body';
import { versionOf } from '../http/version';
import { AdminGuard, CurrentActor } from '../tenancy/identity.guards';
import {
  ApiAdmin,
  ApiDeletesQuota,
  ApiExplainsQuota,
  ApiListsQuotaChanges,
  ApiListsQuotas,
  ApiReadsQuota,
  ApiReconciles,
  ApiSetsQuota,
} from './admin.openapi';
import { explanationView, type ExplanationView } from './explain.views';
import { parseQuery } from './query';
import { quotaChangeView, type QuotaChangesView } from './quota-change.views';
import {
  changesQuery,
  listOf,
  listQuery,
  patchOf,
  quotaBody,
  type QuotaBody,
} from './quota.schema';
import type { QuotaPageView, QuotaView, ReconcileView } from './quota.views';

interface Response {
  status(code: number): unknown;
}

/** Everybody's quotas, for operators. */
@ApiAdmin()
@Controller('admin/quotas')
@UseGuards(AdminGuard)
export class AdminController {
  constructor(
    private readonly admin: QuotaAdmin,
    private readonly explainer: QuotaExplainer,
    private readonly tracker: UsageTracker,
    private readonly store: CacheStore,
    private readonly adapterHost: HttpAdapterHost,
  ) {}

  @Get()
  @ApiListsQuotas()
  async list(@Query() query: unknown): Promise<Plain<QuotaPageView>> {
    const { rows, next } = await this.admin.list(listOf(parseQuery(listQuery, query)));
    return { items: await Promise.all(rows.map((row) => this.view(row))), next };
  }

  @Get(':tenantId')
  @ApiReadsQuota()
  async get(
    @Param('tenantId') tenant: string,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Plain<QuotaView>> {
    const row = await this.admin.get(tenant);
    if (row === null) throw noQuota();
    return this.answer(response, row);
  }

  @Get(':tenantId/explain')
  @ApiExplainsQuota()
  async explain(@Param('tenantId') tenant: string): Promise<Plain<ExplanationView>> {
    return explanationView(await this.explainer.explain(tenant));
  }

  @Get(':tenantId/changes')
  @ApiListsQuotaChanges()
  async changes(
    @Param('tenantId') tenant: string,
    @Query() query: unknown,
  ): Promise<Plain<QuotaChangesView>> {
    const { limit, before } = parseQuery(changesQuery, query);
    const asked = { limit, ...(before !== undefined && { before }) };
    const { changes, next } = await this.admin.changes(tenant, asked);
    return { items: changes.map(quotaChangeView), next };
  }

  @Put(':tenantId')
  @ApiSetsQuota()
  async set(
    @Param('tenantId') tenant: string,
    @JsonBody(quotaBody) body: QuotaBody,
    @CurrentActor() actor: string,
    @Headers('if-match') ifMatch: string | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Plain<QuotaView>> {
    const options = change(actor, ifMatch, body.version);
    const { row, created } = await this.admin.set(tenant, patchOf(body), options);
    response.status(created ? 201 : 200);
    return this.answer(response, row);
  }

  @Delete(':tenantId')
  @HttpCode(204)
  @ApiDeletesQuota()
  async remove(
    @Param('tenantId') tenant: string,
    @CurrentActor() actor: string,
    @Headers('if-match') ifMatch: string | undefined,
  ): Promise<void> {
    // The ledger first: a write on its way then bounces and undoes what it stores after the purge.
    const deleted = await this.admin.delete(tenant, change(actor, ifMatch));
    await this.store.purge(tenant);
    if (!deleted) throw noQuota();
  }

  @Post(':tenantId/reconcile')
  @HttpCode(200)
  @ApiReconciles()
  async reconcile(@Param('tenantId') tenant: string): Promise<Plain<ReconcileView>> {
    return reconcileAnswer(await this.admin.reconcile(tenant));
  }

  private async answer(response: Response, row: QuotaRow): Promise<Plain<QuotaView>> {
    this.adapterHost.httpAdapter.setHeader(response, 'ETag', `"${row.version}"`);
    return this.view(row);
  }

  private async view(row: QuotaRow): Promise<Plain<QuotaView>> {
    return quotaAnswer(row, await this.usageOf(row.tenant));
  }

  /** Quotas can be read and set while the ledger is away. */
  private async usageOf(tenant: string): Promise<Usage | null> {
    try {
      return await this.tracker.read(tenant);
    } catch {
      return null;
    }
  }
}

function noQuota(): ProblemException {
  return new ProblemException(404, 'not_found', 'The tenant has no quota of its own.');
}

function change(actor: string, ifMatch: string | undefined, version?: number): ChangeOptions {
  const expectedVersion = versionOf(ifMatch, version);
  return { actor, ...(expectedVersion !== undefined && { expectedVersion }) };
}
