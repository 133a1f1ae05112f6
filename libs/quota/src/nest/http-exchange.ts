import type { ExecutionContext } from '@nestjs/common';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';

/** What the library uses of a request, the same on Express and Fastify. */
export interface QuotaRequest {
  readonly headers: IncomingHttpHeaders;
  readonly params?: Record<string, string | undefined>;
  body?: unknown;
  rawBody?: Buffer;
  readonly url?: string;
  readonly originalUrl?: string;
  /** Fastify: Node's own request. Express' request is Node's own. */
  readonly raw?: IncomingMessage;
}

/** The request of an HTTP execution context. */
export function requestOf(context: ExecutionContext): QuotaRequest {
  // Not switchToHttp(), which makes three functions each time it is asked.
  return context.getArgByIndex<QuotaRequest>(0);
}

/** The response of an HTTP execution context. */
export function responseOf(context: ExecutionContext): unknown {
  return context.getArgByIndex<unknown>(1);
}

/** Node's own request behind either framework's. */
export function rawRequest(request: QuotaRequest): IncomingMessage {
  return request.raw ?? (request as unknown as IncomingMessage);
}

/** Node's own response behind either framework's. */
export function rawResponse(response: unknown): ServerResponse {
  return (response as { raw?: ServerResponse }).raw ?? (response as ServerResponse);
}

/**
 * Every value a header was sent with, as it came: Node's `headers` joins repeated ones or drops them.
 *
 * @param name in lower case
 */
export function headerValues(request: QuotaRequest, name: string): readonly string[] {
  const { rawHeaders } = rawRequest(request);
  const values: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const sent = rawHeaders[i];
    if (sent?.length !== name.length || sent.toLowerCase() !== name) continue;
    values.push(rawHeaders[i + 1] ?? '');
  }
  return values;
}

/** The path of the request without its query. */
export function pathOf(request: QuotaRequest): string {
  const url = request.originalUrl ?? request.url ?? rawRequest(request).url ?? '/';
  const query = url.indexOf('?');
  return query === -1 ? url : url.slice(0, query);
}

/** True when a path is one of these, or below one of them, by whole segments. */
export function isExcluded(path: string, excluded: readonly string[]): boolean {
  return excluded.some((prefix) => path === prefix || path.startsWith(`${prefix}/`));
}
