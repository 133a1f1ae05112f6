import type { DynamicModule, INestApplication, Type } from '@nestjs/common';
import { HttpAdapterHost, NestFactory } from '@nestjs/core';
import { QuotaObserver } from '@app/quota';
import type { Server } from 'node:http';
import { AppModule } from './app.module';
import type { Settings } from './config/settings.schema';
import { BODIES_AS_THEY_COME, configureAdapter, createAdapter } from './http/adapter';
import { serveOpenApi } from './http/openapi';
import { ProblemFilter } from './http/problem.filter';
import { hardenServer } from './http/server';
import { FrameworkQuiet } from './ops/framework-quiet';

/**
 * The whole service, ready to listen.
 *
 * @param more modules beside its own, for tests
 * @throws InvalidOptionsError, and what a store answers that must be there at the start
 */
export async function createApp(
  settings: Settings,
  more: readonly (Type | DynamicModule)[] = [],
): Promise<INestApplication<Server>> {
  const module = await AppModule.register(settings, more);
  const options = { ...BODIES_AS_THEY_COME, bufferLogs: true, abortOnError: false };
  const adapter = createAdapter(settings.HTTP_ADAPTER);
  const app = await NestFactory.create<INestApplication<Server>>(module, adapter, options);
  app.useLogger(app.get(FrameworkQuiet));
  configureAdapter(app, settings.HTTP_ADAPTER);
  app.useGlobalFilters(new ProblemFilter(app.get(HttpAdapterHost), app.get(QuotaObserver)));
  serveOpenApi(app);
  hardenServer(app.getHttpServer());
  return app;
}
