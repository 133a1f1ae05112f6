import type { ExecutionContext } from '@nestjs/common';
import { parseSize, parseSizeMb } from '../core/write';
import { InvalidTenantError, InvalidWriteError } from '../core/errors';
import { bodyBytes, readBody } from './body-reader';
import { headerValues, requestOf, type QuotaRequest } from './http-exchange';

/** What a resolver may need of the module. */
export interface ResolverEnvironment {
  /** The largest single write, in bytes; reading a body stops there. */
  readonly maxWriteBytes: number;
}

/** Any function of the execution context can stand in for a resolver. */
export type Resolver<T> = (
  context: ExecutionContext,
  environment: ResolverEnvironment,
) => T | Promise<T>;

/** Names the tenant. What it returns is checked; nothing else may be trusted about it. */
export type TenantResolver = Resolver<string | undefined>;

/** Gives the size of the write in bytes. */
export interface SizeResolver extends Resolver<number> {
  /**
   * The size as announced, known before the body arrives; undefined when it isn't. Lets a large
   * write that cannot fit be refused before it is sent.
   */
  announced?: (context: ExecutionContext) => number | undefined;
}

/** Names the entry that is written; undefined: a charge without a key. */
export type KeyResolver = Resolver<string | undefined>;

/** The entry's life in seconds; undefined: it does not expire. */
export type TtlResolver = Resolver<number | undefined>;

/**
 * The tenant from a header that a trusted gateway sets. Twice is refused: which one counts must not
 * depend on who reads it. Not for requests that come straight from clients.
 */
export function tenantFromHeader(name = 'X-Tenant-ID'): TenantResolver {
  const lowerCased = name.toLowerCase();
  return (context) => {
    const values = headerValues(requestOf(context), lowerCased);
    if (values.length > 1) {
      throw new InvalidTenantError(
        false,
        `The header ${name} stands more than once in the request.`,
      );
    }
    return values[0];
  };
}

/**
 * The tenant from what an auth guard has verified and put on the request, by a path of property
 * names: `tenantFromUser('user.tenantId')`, the default being `user.tenantId`.
 */
export function tenantFromUser(path = 'user.tenantId'): TenantResolver {
  const names = path.split('.');
  return (context) => {
    const found = names.reduce<unknown>(ownProperty, requestOf(context));
    return typeof found === 'string' ? found : undefined;
  };
}

/** The tenant from a route parameter; only where a guard checks that the caller may speak for it. */
export function tenantFromParam(name: string): TenantResolver {
  return (context) => {
    const params = requestOf(context).params;
    return params !== undefined && Object.hasOwn(params, name) ? params[name] : undefined;
  };
}

/** The key from a route parameter, as the framework decoded it. */
export function keyFromParam(name: string): KeyResolver {
  return tenantFromParam(name);
}

/**
 * The bytes that arrive, after any content decoding: the default. Reads the body itself where no
 * parser has, stopping at the largest write allowed. Behind a parser it takes `rawBody`, a Buffer
 * or string body, or the Content-Length the parser has verified.
 */
export function sizeFromBody(): SizeResolver {
  const resolve: SizeResolver = async (context, environment) => {
    const request = requestOf(context);
    const known = bodyBytes(request);
    if (known !== undefined) return known;
    return (await readBody(request, { maxBytes: environment.maxWriteBytes })).length;
  };
  resolve.announced = (context) => {
    const request = requestOf(context);
    if (request.headers['content-encoding'] !== undefined) return undefined;
    return contentLength(request);
  };
  return resolve;
}

/**
 * The Content-Length. For handlers that stream the body themselves and commit what they stored.
 *
 * @throws InvalidWriteError when the request has none.
 */
export function sizeFromContentLength(): SizeResolver {
  const resolve: SizeResolver = (context) => {
    const length = contentLength(requestOf(context));
    if (length === undefined) {
      throw new InvalidWriteError(
        { where: 'Content-Length', allowed: 'a whole number of bytes' },
        'The request has no Content-Length. Send one; a chunked body has no size to decide on.',
      );
    }
    return length;
  };
  resolve.announced = (context) => contentLength(requestOf(context));
  return resolve;
}

/** A declared size in MB in a field of the parsed JSON body: `sizeFromField('size_mb')`. */
export function sizeFromField(name: string): SizeResolver {
  return (context) => {
    const value = ownProperty(requestOf(context).body, name);
    return parseSizeMb(value, name);
  };
}

/** The same size for every request, in bytes. */
export function fixedSize(bytes: number): SizeResolver {
  parseSize(bytes);
  return () => bytes;
}

function ownProperty(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  // The request's own properties may be accessors on its prototype, but never those of Object.
  if (!Object.hasOwn(value, name) && name in Object.prototype) return undefined;
  return (value as Record<string, unknown>)[name];
}

function contentLength(request: QuotaRequest): number | undefined {
  const text = request.headers['content-length'];
  if (text === undefined) return undefined;
  return parseSize(/^\d{1,16}$/.test(text) ? Number(text) : text);
}
