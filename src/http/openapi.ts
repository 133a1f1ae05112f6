import type { INestApplication } from '@nestjs/common';
import { applyDecorators } from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiExtraModels,
  ApiProperty,
  ApiPropertyOptional,
  ApiResponse,
  ApiSecurity,
  DocumentBuilder,
  getSchemaPath,
  SwaggerModule,
  type ApiResponseOptions,
} from '@nestjs/swagger';
import { STATUS_CODES } from 'node:http';
import { PROBLEM_JSON } from './problem';

/** What a route answers: an object like this view, whose class is there for OpenAPI alone. */
export type Plain<View> = { [Key in keyof View]: View[Key] };

const TENANT_SCHEME = 'tenant-header';
const BEARER_SCHEME = 'bearer';

class ProblemInput {
  @ApiProperty({ example: 'ttl' })
  where!: string;

  @ApiProperty({ example: 'a whole number of seconds, 1 to 315360000' })
  allowed!: string;
}

/** A problem document, RFC 9457. */
export class Problem {
  @ApiProperty({ format: 'uri-reference', example: 'about:blank' })
  type!: string;

  @ApiProperty({ example: 'Bad Request' })
  title!: string;

  @ApiProperty({ example: 400 })
  status!: number;

  @ApiProperty({ example: 'The ttl of the write is not usable.' })
  detail!: string;

  @ApiProperty({ description: 'A stable code for programs', example: 'invalid_write' })
  error!: string;

  @ApiPropertyOptional({ type: [ProblemInput] })
  errors?: ProblemInput[];
}

type Decorator = ClassDecorator & MethodDecorator;

/** An error response of a route. */
export const ApiProblem = (status: number, headers?: ApiResponseOptions['headers']): Decorator =>
  applyDecorators(
    ApiExtraModels(Problem),
    ApiResponse({
      status,
      description: STATUS_CODES[status] ?? 'Error',
      content: { [PROBLEM_JSON]: { schema: { $ref: getSchemaPath(Problem) } } },
      ...(headers && { headers }),
    }),
  );

/** A tenant: by header or by token, whichever TENANT_AUTH says. */
export const ApiTenantAuth = (): Decorator =>
  applyDecorators(ApiSecurity(TENANT_SCHEME), ApiBearerAuth(BEARER_SCHEME));

export const ApiAdminAuth = (): Decorator => applyDecorators(ApiBearerAuth(BEARER_SCHEME));

/** Serves the OpenAPI document at /openapi.json and a page of it at /docs. */
export function serveOpenApi(app: INestApplication): void {
  const info = new DocumentBuilder()
    .setTitle('nestjs-cache-quota')
    .setDescription(
      'A multi-tenant cache service: tenants store values under keys, each within its quota in ' +
        'bytes. Every response to a write says where the tenant stands in X-Cache-Quota-* headers.',
    )
    .setVersion('1')
    .addApiKey({ type: 'apiKey', in: 'header', name: 'X-Tenant-ID' }, TENANT_SCHEME)
    .addBearerAuth({ type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }, BEARER_SCHEME)
    .build();
  const document = SwaggerModule.createDocument(app, info);
  SwaggerModule.setup('docs', app, document, { jsonDocumentUrl: 'openapi.json', raw: ['json'] });
}
