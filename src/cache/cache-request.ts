import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { keyFromParam, parseKey, parseTtl, type QuotaRequest } from '@app/quota';
import { singleHeader } from '../tenancy/identity';
import { invalidInput } from '../http/problem';

const KEY_PARAM = 'key';
const MAX_TYPE_LENGTH = 255;
const DEFAULT_TYPE = 'application/octet-stream';

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED = '"(?:[^"\\\\\\x00-\\x1f\\x7f-\\uffff]|\\\\[\\x20-\\x7e])*"';
/** RFC 9110, section 8.3.1. Each character can be matched in one way only, so that it cannot be made slow. */
const MEDIA_TYPE = new RegExp(
  `^${TOKEN}/${TOKEN}(?:[ \\t]*;(?:[ \\t]*${TOKEN}=(?:${TOKEN}|${QUOTED}))?)*$`,
);

type CacheRequest = QuotaRequest & { readonly query?: Readonly<Record<string, unknown>> };

/** The entry's key, as the framework has decoded it from the path. */
export const cacheKey = keyFromParam(KEY_PARAM);

/** `?ttl=SECONDS`, in plain digits. @throws InvalidWriteError */
export function cacheTtl(context: ExecutionContext): number | undefined {
  const { query = {} } = context.switchToHttp().getRequest<CacheRequest>();
  const ttl = Object.hasOwn(query, 'ttl') ? query['ttl'] : undefined;
  if (ttl === undefined) return undefined;
  return parseTtl(typeof ttl === 'string' && /^[1-9]\d{0,9}$/.test(ttl) ? Number(ttl) : ttl);
}

/** The key of the entry. @throws InvalidWriteError (400) unless it is 1 to 512 bytes of UTF-8 */
export const CacheKey = createParamDecorator(
  (_data: unknown, context: ExecutionContext): string => {
    const { params = {} } = context.switchToHttp().getRequest<CacheRequest>();
    return parseKey(params[KEY_PARAM]);
  },
);

/** The entry's life in seconds. @throws InvalidWriteError (400) */
export const CacheTtl = createParamDecorator((_data: unknown, context: ExecutionContext) =>
  cacheTtl(context),
);

/** The content type to give back with the value. */
export const CacheContentType = createParamDecorator(
  (_data: unknown, context: ExecutionContext): string => {
    const type = singleHeader(context.switchToHttp().getRequest<QuotaRequest>(), 'Content-Type');
    return parseContentType(type);
  },
);

/** @throws ProblemException (400) unless the type is well-formed and of a bounded length. */
export function parseContentType(type: string | undefined): string {
  if (type === undefined || type === '') return DEFAULT_TYPE;
  if (type.length <= MAX_TYPE_LENGTH && MEDIA_TYPE.test(type)) return type;
  const allowed = `type/subtype; parameter=value, at most ${MAX_TYPE_LENGTH} characters`;
  throw invalidInput('Content-Type', allowed, 'The Content-Type is malformed.');
}
