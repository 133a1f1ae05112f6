import { applyDecorators } from '@nestjs/common';
import { ApiBody, ApiHeader, ApiOkResponse, ApiOperation, ApiQuery } from '@nestjs/swagger';
import { z } from 'zod';
import { ApiProblem } from '../http/openapi';
import { rolloutBody } from './rollout.schema';
import { ImpactView, RolloutHistoryView, RolloutView } from './rollout.views';
import { SimulationView } from './simulation.views';

type Decorator = ClassDecorator & MethodDecorator;

const ApiIfMatch = (): Decorator =>
  applyDecorators(
    ApiHeader({ name: 'If-Match', required: false, description: 'The ETag as it was read' }),
    ApiProblem(409),
  );

const ApiSince = (): Decorator =>
  applyDecorators(
    ApiQuery({
      name: 'since',
      required: false,
      description: 'Back from now (90s, 30m, 24h, 7d), or a time in ISO 8601',
      schema: { type: 'string', default: '24h' },
    }),
  );

const ApiPage = (what: string, type: 'string' | 'integer' = 'string'): Decorator =>
  applyDecorators(
    ApiQuery({
      name: 'limit',
      required: false,
      schema: { type: 'integer', minimum: 1, maximum: 100, default: 100 },
    }),
    ApiQuery({ name: what, required: false, schema: { type } }),
  );

export const ApiReadsRollout = (): Decorator =>
  applyDecorators(
    ApiOperation({ summary: 'The rollout in force, and where its values come from' }),
    ApiOkResponse({ type: RolloutView }),
  );

export const ApiChangesRollout = (): Decorator =>
  applyDecorators(
    ApiOperation({
      summary: 'Change the rollout at run time',
      description: 'Holds on every instance for the next request. null: back to the environment.',
    }),
    ApiIfMatch(),
    ApiBody({
      schema: z.toJSONSchema(rolloutBody, { target: 'openapi-3.0', io: 'input' }) as object,
    }),
    ApiOkResponse({ type: RolloutView }),
  );

export const ApiResetsRollout = (): Decorator =>
  applyDecorators(
    ApiOperation({ summary: 'Back to what the environment says' }),
    ApiIfMatch(),
    ApiOkResponse({ type: RolloutView }),
  );

export const ApiListsRolloutChanges = (): Decorator =>
  applyDecorators(
    ApiOperation({ summary: 'Who changed the rollout, from, to, when' }),
    ApiPage('before', 'integer'),
    ApiOkResponse({ type: RolloutHistoryView }),
  );

export const ApiShowsImpact = (): Decorator =>
  applyDecorators(
    ApiOperation({ summary: 'Which tenants were refused, or would have been in shadow mode' }),
    ApiSince(),
    ApiPage('after'),
    ApiOkResponse({ type: ImpactView }),
  );

export const ApiSimulates = (): Decorator =>
  applyDecorators(
    ApiOperation({ summary: 'What another limit would have refused of the recorded writes' }),
    ApiSince(),
    ApiPage('after'),
    ApiQuery({ name: 'limitMb', required: false, schema: { type: 'integer', minimum: 1 } }),
    ApiQuery({ name: 'overageMb', required: false, schema: { type: 'integer', minimum: 0 } }),
    ApiQuery({
      name: 'percent',
      required: false,
      schema: { type: 'number', minimum: 0, maximum: 100, default: 100 },
    }),
    ApiQuery({ name: 'tenant', required: false, schema: { type: 'string' } }),
    ApiOkResponse({ type: SimulationView }),
  );
