import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { UsageRecorder } from '@app/quota';
import type { ServerResponse } from 'node:http';
import type { IdentifiedRequest } from '../tenancy/identity';

/** Either framework's response, as far as it is used here. */
interface Response {
  /** Fastify: Node's own response. Express' response is Node's own. */
  readonly raw?: ServerResponse;
  getHeader(name: string): unknown;
}

/**
 * Counts the requests of tenants, the refused ones too, when their answers are over. It lets everybody
 * through; as a guard it comes after the tenant is verified and before the quota may refuse.
 */
@Injectable()
export class CacheMeter implements CanActivate {
  constructor(private readonly recorder: UsageRecorder) {}

  canActivate(context: ExecutionContext): boolean {
    const http = context.switchToHttp();
    const { identity, method } = http.getRequest<IdentifiedRequest & { readonly method: string }>();
    const response = http.getResponse<Response>();
    const tenant = identity?.tenant;
    if (tenant === undefined) throw new Error('The route is not behind TenantGuard.');
    const began = performance.now();
    const answer = response.raw ?? (response as unknown as ServerResponse);
    answer.once('close', () => {
      const lookup = lookupOf(method, answer.statusCode);
      // Of an answer that was broken off nobody knows how much arrived; it counts for nothing.
      const whole = lookup === 'hit' && method === 'GET' && answer.writableFinished;
      const bytesServed = whole ? Number(response.getHeader('content-length') ?? 0) : 0;
      const durationMs = performance.now() - began;
      this.recorder.cacheRequest({ tenant, lookup, bytesServed, durationMs });
    });
    return true;
  }
}

function lookupOf(method: string, status: number): 'hit' | 'miss' | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  if (status === 200) return 'hit';
  return status === 404 ? 'miss' : undefined;
}
