import { applyDecorators } from '@nestjs/common';
import {
  ApiBody,
  ApiConsumes,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiOperation,
  ApiParam,
  ApiProperty,
  ApiQuery,
  ApiResponse,
  ApiTags,
} from '@nestjs/swagger';
import { MAX_KEY_BYTES, MAX_TTL_SECONDS, quotaHeaderSchemas } from '@app/quota';
import { ApiProblem, ApiTenantAuth } from '../http/openapi';

const bytes = { '*/*': { schema: { type: 'string', format: 'binary' } } };

/** What is answered to a write. */
export class StoredView {
  @ApiProperty({ example: 'hello' })
  key!: string;

  @ApiProperty({ description: 'Bytes stored, after any content decoding', example: 12 })
  bytes!: number;

  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  expiresAt!: string | null;
}

type Decorator = ClassDecorator & MethodDecorator;

export const ApiCache = (): Decorator =>
  applyDecorators(
    ApiTags('cache'),
    ApiTenantAuth(),
    ApiProblem(400),
    ApiProblem(401),
    ApiProblem(403),
  );

const ApiKey = (): Decorator =>
  applyDecorators(
    ApiParam({
      name: 'key',
      description: `1 to ${MAX_KEY_BYTES} bytes of UTF-8 after URL decoding; "/" as %2F`,
    }),
  );

export const ApiStoresValue = (): Decorator =>
  applyDecorators(
    ApiOperation({
      summary: 'Store a value',
      description: 'Stores the body as it comes, of any content type, after any content decoding.',
    }),
    ApiKey(),
    ApiQuery({
      name: 'ttl',
      required: false,
      description: 'Life of the entry in seconds; absent: it does not expire',
      schema: { type: 'integer', minimum: 1, maximum: MAX_TTL_SECONDS },
    }),
    ApiConsumes('*/*'),
    ApiBody({ schema: { type: 'string', format: 'binary' }, required: false }),
    ApiResponse({
      status: 201,
      description: 'Stored',
      type: StoredView,
      headers: quotaHeaderSchemas,
    }),
    ApiResponse({
      status: 200,
      description: 'Stored, replacing a value',
      type: StoredView,
      headers: quotaHeaderSchemas,
    }),
  );

export const ApiReadsValue = (): Decorator =>
  applyDecorators(
    ApiOperation({ summary: 'Read a value' }),
    ApiKey(),
    ApiOkResponse({
      description: 'The bytes, with the content type they were stored with',
      content: bytes,
      headers: quotaHeaderSchemas,
    }),
    ApiProblem(404, quotaHeaderSchemas),
  );

export const ApiRemovesValue = (): Decorator =>
  applyDecorators(
    ApiOperation({ summary: 'Delete a value' }),
    ApiKey(),
    ApiNoContentResponse({ description: 'Deleted', headers: quotaHeaderSchemas }),
    ApiProblem(404, quotaHeaderSchemas),
  );
