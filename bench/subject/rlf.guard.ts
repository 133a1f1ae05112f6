import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { RateLimiterAbstract } from 'rate-limiter-flexible';
import { LIMIT } from './settings';

export const LIMITER = Symbol('RateLimiter');

/** rate-limiter-flexible as its own documentation puts it before a route, its headers included. */
@Injectable()
export class RlfGuard implements CanActivate {
  constructor(
    @Inject(LIMITER) private readonly limiter: RateLimiterAbstract,
    private readonly adapterHost: HttpAdapterHost,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const http = context.switchToHttp();
    const { headers } = http.getRequest<{ headers: Record<string, string> }>();
    const state = await this.limiter.consume(headers['x-tenant-id'] ?? '');
    const response: unknown = http.getResponse();
    const { httpAdapter } = this.adapterHost;
    httpAdapter.setHeader(response, 'X-RateLimit-Limit', String(LIMIT));
    httpAdapter.setHeader(response, 'X-RateLimit-Remaining', String(state.remainingPoints));
    httpAdapter.setHeader(response, 'X-RateLimit-Reset', String(Math.ceil(state.msBeforeNext)));
    return true;
  }
}
