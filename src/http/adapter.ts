import type { INestApplication } from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { ExpressAdapter, type NestExpressApplication } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyReply } from 'fastify';
import { requestId } from './request-id';
import { malformedUrl, PROBLEM_JSON } from './problem';

/** A path parameter may be all that fits into a request line: the key's own check says more than a 414. */
const MAX_PARAM_LENGTH = 16_384;

/** Bodies are stored as they come: no parser may touch one, and handlers read the stream themselves. */
export const BODIES_AS_THEY_COME = { bodyParser: false };

export type HttpAdapterName = 'express' | 'fastify';

export function createAdapter(name: HttpAdapterName): AbstractHttpAdapter {
  return name === 'fastify' ? fastifyAdapter() : new ExpressAdapter();
}

/** What each framework does by itself and a store of bytes must not. */
export function configureAdapter(app: INestApplication, name: HttpAdapterName): void {
  if (name === 'fastify') {
    const fastify = (app as NestFastifyApplication).getHttpAdapter().getInstance();
    fastify.removeAllContentTypeParsers();
    fastify.addContentTypeParser('*', (_request, _payload, done) => done(null));
    return;
  }
  const express = app as NestExpressApplication;
  express.disable('x-powered-by');
  // Hashing every answer to save sending it again pays for pages, not for values that change.
  express.disable('etag');
  express.set('query parser', 'simple');
}

function fastifyAdapter(): FastifyAdapter {
  return new FastifyAdapter({
    genReqId: requestId,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    frameworkErrors: (_error: unknown, _request: unknown, reply: FastifyReply) => {
      // The URL alone has failed, before there was a route or a filter.
      const problem = malformedUrl();
      void reply
        .code(problem.status)
        .header('Content-Type', PROBLEM_JSON)
        .send(JSON.stringify(problem));
    },
  });
}
