import type { DynamicModule, INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter, type NestExpressApplication } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Adapter } from '../variants';
import { MAX_BODY_BYTES } from './settings';

const QUIET = { logger: ['error' as const], bodyParser: false };

/** A listening application. Bodies come as buffers, by the framework's own parser, for all variants. */
export async function startApp(module: DynamicModule, adapter: Adapter): Promise<INestApplication> {
  const app = adapter === 'express' ? await onExpress(module) : await onFastify(module);
  await app.listen(0, '127.0.0.1');
  return app;
}

async function onExpress(module: DynamicModule): Promise<INestApplication> {
  const app = await NestFactory.create<NestExpressApplication>(module, new ExpressAdapter(), QUIET);
  app.useBodyParser('raw', { type: () => true, limit: MAX_BODY_BYTES });
  return app;
}

async function onFastify(module: DynamicModule): Promise<INestApplication> {
  const adapter = new FastifyAdapter({ bodyLimit: MAX_BODY_BYTES });
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, QUIET);
  const fastify = app.getHttpAdapter().getInstance();
  fastify.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => {
    done(null, body);
  });
  return app;
}
