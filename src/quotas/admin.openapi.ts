import { applyDecorators } from '@nestjs/common';
import {
  ApiBody,
  ApiHeader,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiQuery,
  ApiResponse,
  ApiTags,
} from '@nestjs/swagger';
import { PLAN_NAMES } from '@app/quota';
import { z } from 'zod';
import { ApiAdminAuth, ApiProblem } from '../http/openapi';
import { MAX_EVICTED } from '../cache/eviction';
import { evictionBody } from './eviction.schema';
import { EvictionsView } from './eviction.views';
import { ExplanationView } from './explain.views';
import { QuotaChangesView } from './quota-change.views';
import { MAX_PAGE } from './query';
import { quotaBody } from './quota.schema';
import { EvictionView, MODES, QuotaPageView, QuotaView, ReconcileView } from './quota.views';

type Decorator = ClassDecorator & MethodDecorator;

export const ApiAdmin = (): Decorator =>
  applyDecorators(
    ApiTags('admin'),
    ApiAdminAuth(),
    ApiProblem(400),
    ApiProblem(401),
    ApiProblem(403),
    ApiProblem(503),
  );

const ApiTenantParam = (): Decorator =>
  applyDecorators(ApiParam({ name: 'tenantId', example: 'starter' }));

const ApiIfMatch = (): Decorator =>
  applyDecorators(
    ApiHeader({ name: 'If-Match', required: false, description: 'The ETag as it was read' }),
    ApiProblem(409),
  );

/** A page of `limit` items, which goes on at a cursor. */
const ApiPage = (cursor: string, type: 'string' | 'integer', description: string): Decorator =>
  applyDecorators(
    ApiQuery({
      name: 'limit',
      required: false,
      schema: { type: 'integer', minimum: 1, maximum: MAX_PAGE, default: MAX_PAGE },
    }),
    ApiQuery({ name: cursor, required: false, description, schema: { type } }),
  );

const ApiFilter = (name: string, description: string, values: readonly string[]): Decorator =>
  applyDecorators(
    ApiQuery({ name, required: false, description, schema: { type: 'string', enum: [...values] } }),
  );

export const ApiListsQuotas = (): Decorator =>
  applyDecorators(
    ApiOperation({
      summary: 'Quotas in the order of their tenant ids',
      description: 'Filters go by the usage as it was last synchronised; all given must hold.',
    }),
    ApiPage('after', 'string', 'Goes on after this tenant id'),
    ApiFilter('over', 'Those that use more than their quota', ['true']),
    ApiQuery({
      name: 'near',
      required: false,
      description: 'Those that use at least so much of it, in percent',
      schema: { type: 'number', minimum: 0, maximum: 100 },
    }),
    ApiFilter('mode', 'Those with this mode of their own; null: none', [...MODES, 'null']),
    ApiFilter('plan', "Those with exactly this plan's limits", PLAN_NAMES),
    ApiOkResponse({ type: QuotaPageView }),
  );

export const ApiReadsQuota = (): Decorator =>
  applyDecorators(
    ApiOperation({ summary: 'A quota' }),
    ApiTenantParam(),
    ApiOkResponse({ type: QuotaView }),
    ApiProblem(404),
  );

export const ApiExplainsQuota = (): Decorator =>
  applyDecorators(
    ApiOperation({
      summary: 'What the next write of a tenant would be decided by, and why',
      description: 'As this instance sees it: limit, configuration, usage, mode, store.',
    }),
    ApiTenantParam(),
    ApiOkResponse({ type: ExplanationView }),
  );

export const ApiListsQuotaChanges = (): Decorator =>
  applyDecorators(
    ApiOperation({ summary: 'Who changed a quota, from, to, when; the latest first' }),
    ApiTenantParam(),
    ApiPage('before', 'integer', 'Goes on before the change with this stamp'),
    ApiOkResponse({ type: QuotaChangesView }),
  );

export const ApiSetsQuota = (): Decorator =>
  applyDecorators(
    ApiOperation({
      summary: 'Create or change a quota',
      description: 'Holds on every instance for the next request.',
    }),
    ApiTenantParam(),
    ApiIfMatch(),
    ApiBody({ schema: z.toJSONSchema(quotaBody, { target: 'openapi-3.0' }) as object }),
    ApiOkResponse({ type: QuotaView, description: 'Changed' }),
    ApiResponse({ status: 201, type: QuotaView, description: 'Created' }),
  );

export const ApiDeletesQuota = (): Decorator =>
  applyDecorators(
    ApiOperation({
      summary: 'Delete a tenant',
      description: 'Its quota, its usage and all that it has stored. Writes on their way bounce.',
    }),
    ApiTenantParam(),
    ApiIfMatch(),
    ApiNoContentResponse({ description: 'Deleted' }),
    ApiProblem(404),
  );

export const ApiReconciles = (): Decorator =>
  applyDecorators(
    ApiOperation({ summary: 'Recompute the usage of a tenant from its entries' }),
    ApiTenantParam(),
    ApiOkResponse({ type: ReconcileView }),
  );

export const ApiEvicts = (): Decorator =>
  applyDecorators(
    ApiOperation({
      summary: 'Remove entries of a tenant: all, or until a target',
      description:
        `At most ${MAX_EVICTED} entries a call; \`resume\` goes on. It ends however much is written ` +
        'meanwhile, and what is rewritten meanwhile stays. Up to a target what was written longest ' +
        'ago goes first. Kept in the audit trail.',
    }),
    ApiTenantParam(),
    ApiBody({ schema: z.toJSONSchema(evictionBody, { target: 'openapi-3.0' }) as object }),
    ApiOkResponse({ type: EvictionView }),
    ApiProblem(404),
  );

export const ApiListsEvictions = (): Decorator =>
  applyDecorators(
    ApiOperation({
      summary: 'Who evicted entries of a tenant, why and how many; the latest first',
    }),
    ApiTenantParam(),
    ApiPage('before', 'integer', 'Goes on before the eviction with this id'),
    ApiOkResponse({ type: EvictionsView }),
  );
