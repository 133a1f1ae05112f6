import { createRequire } from 'node:module';
import type * as Swagger from '@nestjs/swagger';

const header = (description: string, example: string): Record<string, unknown> => ({
  description,
  schema: { type: 'string', example },
});

/** The headers of every response of a guarded route, for OpenAPI documents. */
export const quotaHeaderSchemas = {
  'X-Cache-Quota-Limit': header('Quota in MB', '500'),
  'X-Cache-Quota-Used': header('MB used after this request', '387.5'),
  'X-Cache-Quota-Remaining': header('MB left up to the quota', '112.5'),
  'X-Cache-Quota-Percent': header('Used / quota × 100', '77.5'),
  'X-Cache-Quota-Status': header('ok, warning or exceeded', 'ok'),
  'X-Cache-Quota-Mode': header('enforce or shadow', 'enforce'),
};

const problem = {
  'application/problem+json': {
    schema: {
      type: 'object',
      required: ['type', 'title', 'status', 'detail', 'error'],
      properties: {
        type: { type: 'string', format: 'uri-reference' },
        title: { type: 'string' },
        status: { type: 'integer' },
        detail: { type: 'string' },
        error: { type: 'string' },
        retry_after_seconds: { type: 'integer' },
      },
    },
  },
};

const REFUSALS: readonly (readonly [number, string, boolean])[] = [
  [400, 'The tenant, size, key or ttl is malformed; nothing was charged', false],
  [401, 'No verified tenant', false],
  [413, 'Larger than one write, or than the whole quota, may be', true],
  [429, 'The tenant is over its limit; nothing was charged', true],
  [503, 'The quota cannot be decided on at the moment', false],
];

/** Response decorators where @nestjs/swagger is installed, else none. */
export function quotaApiResponses(): (ClassDecorator & MethodDecorator)[] {
  const swagger = loadSwagger();
  if (swagger === null) return [];
  return REFUSALS.map(([status, description, numbers]) =>
    swagger.ApiResponse({
      status,
      description,
      content: problem,
      ...(numbers && { headers: quotaHeaderSchemas }),
    }),
  );
}

function loadSwagger(): typeof Swagger | null {
  try {
    return createRequire(__filename)('@nestjs/swagger') as typeof Swagger;
  } catch {
    return null;
  }
}
